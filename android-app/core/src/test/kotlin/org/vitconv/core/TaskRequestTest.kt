package org.vitconv.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class TaskRequestTest {
    @Test
    fun `what is left out has a default`() {
        assertEquals(TaskRequest.SelfTest("a-1"), TaskRequest.parse(mapOf("task" to "selftest", "id" to "a-1")))
        assertEquals(
            TaskRequest.Benchmark("x", null, RunOptions(1, Accelerator.XNNPACK), 50),
            TaskRequest.parse(mapOf("task" to "benchmark", "id" to "x")),
        )
    }

    @Test
    fun `everything can be said`() {
        val extras = mapOf("task" to "benchmark", "id" to "x", "model" to "m-d-int8.tflite", "threads" to 4, "runs" to 7, "delegate" to "gpu")
        assertEquals(TaskRequest.Benchmark("x", "m-d-int8.tflite", RunOptions(4, Accelerator.GPU), 7), TaskRequest.parse(extras))
    }

    @Test
    fun `nothing else is accepted`() {
        val good = mapOf<String, Any?>("task" to "benchmark", "id" to "x")
        val bad = listOf(
            mapOf("id" to "x"), mapOf("task" to "selftest"), good + ("task" to "delete"), good + ("task" to null), good + ("other" to "1"),
            good + ("id" to ""), good + ("id" to "../x"), good + ("id" to "a b"), good + ("id" to "ä"), good + ("id" to 5),
            good + ("id" to "x".repeat(65)), good + ("id" to "x\n"), good + ("model" to "../m.tflite"), good + ("model" to "a/m.tflite"),
            good + ("model" to "m.txt"), good + ("model" to 1), good + ("threads" to 0), good + ("threads" to 65),
            good + ("threads" to "4"), good + ("runs" to 0), good + ("runs" to -1), good + ("runs" to 10_001),
            good + ("delegate" to "hexagon"), good + ("delegate" to 1),
            mapOf("task" to "selftest", "id" to "x", "model" to "m.tflite"),
        )
        for (extras in bad) {
            val error = assertThrows("$extras", IllegalArgumentException::class.java) { TaskRequest.parse(extras) }
            // Nothing of what was sent is repeated in the log.
            assert("../" !in error.message.orEmpty() && "\n" !in error.message.orEmpty()) { "$error" }
        }
    }
}
