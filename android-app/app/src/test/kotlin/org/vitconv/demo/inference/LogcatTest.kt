package org.vitconv.demo.inference

import android.util.Log
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.shadows.ShadowLog
import org.vitconv.classifier.Logcat
import org.vitconv.demo.TestApplication

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = TestApplication::class)
class LogcatTest {
    @Test
    fun `a log that drops the runtime's lines drops the marker as well`() {
        val marker = Logcat().mark()
        // The runtime tells of delegates at this level: with a louder marker their silence would mean "nothing".
        assertEquals(Log.VERBOSE, ShadowLog.getLogsForTag("vitconv").single { it.msg == marker }.type)
    }
}
