package org.vitconv.core

import org.junit.Assert.assertEquals
import org.junit.Test

class DelegationLogTest {
    private val xnnpack = "I/tflite  ( 1): Replacing 390 out of 477 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 115 partitions for the whole graph."

    @Test
    fun `the runtime's line is read`() {
        assertEquals(Delegation(477, 390, 115), DelegationLog.read(listOf("load 1-1", xnnpack), "load 1-1", 500))
    }

    @Test
    fun `an older runtime doesn't say of how many`() {
        val line = "Replacing 11 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 1 partitions."
        assertEquals(Delegation(20, 11, 1), DelegationLog.read(listOf("load 1-1", line), "load 1-1", 20))
    }

    @Test
    fun `what was loaded before does not count`() {
        assertEquals(Delegation(20, 0, 1), DelegationLog.read(listOf("load 1-1", xnnpack, "load 1-2", "else"), "load 1-2", 20))
    }

    @Test
    fun `without the log nothing is claimed`() {
        assertEquals(Delegation(20, null, null), DelegationLog.read(null, "load 1-1", 20))
        assertEquals(Delegation(20, null, null), DelegationLog.read(listOf(xnnpack), "load 1-1", 20))
    }
}
