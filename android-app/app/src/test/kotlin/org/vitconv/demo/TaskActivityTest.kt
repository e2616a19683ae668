package org.vitconv.demo

import android.content.Intent
import android.os.Bundle
import android.os.Looper
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.shadows.ShadowLog
import org.vitconv.demo.core.Documents
import java.io.File

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = TestApplication::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class TaskActivityTest {
    private val files: File get() = RuntimeEnvironment.getApplication().getExternalFilesDir(null)!!
    private val results: List<String> get() = File(files, "results").list().orEmpty().sorted()

    @Before
    fun withTheUsualModels() {
        TestApplication.models = TestApplication.defaultModels()
    }

    /** Runs the task and returns what it logged. */
    private fun run(vararg extras: Pair<String, Any>): List<String> {
        val intent = Intent()
        for ((name, value) in extras) {
            when (value) {
                is Int -> intent.putExtra(name, value)
                is Bundle -> intent.putExtra(name, value)
                else -> intent.putExtra(name, value.toString())
            }
        }
        val activity = Robolectric.buildActivity(TaskActivity::class.java, intent).setup().get()
        repeat(400) {
            if (activity.isFinishing) return@repeat
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(5)
        }
        assertTrue("the activity has ended", activity.isFinishing)
        return ShadowLog.getLogsForTag("vitconv").map { it.msg }
    }

    @Test
    fun `a self-test leaves its document and one line in the log`() {
        assertEquals(listOf("done a-1 ok"), run("task" to "selftest", "id" to "a-1"))
        assertEquals(listOf("a-1.json"), results)
        val document = Documents.parseToJsonElement(File(files, "results/a-1.json").readText()).jsonObject
        assertEquals("selftest", document.getValue("task").jsonPrimitive.content)
        // The dynamic model of these tests is held to more than it can give: a failed check is a result, too.
        assertFalse(document.getValue("passed").jsonPrimitive.content.toBoolean())
        assertEquals(4, document.getValue("files").jsonArray.size)
    }

    @Test
    fun `a benchmark of one model leaves its document`() {
        val model = TestApplication.models[1].name
        assertEquals(listOf("done b ok"), run("task" to "benchmark", "id" to "b", "model" to model, "threads" to 2, "runs" to 3, "delegate" to "cpu"))
        val file = Documents.parseToJsonElement(File(files, "results/b.json").readText()).jsonObject.getValue("files").jsonArray.single().jsonObject
        assertEquals(listOf(model, "2", "3"), listOf("path", "threads", "runs").map { file.getValue(it).jsonPrimitive.content })
    }

    @Test
    fun `a benchmark of all models is one document`() {
        run("task" to "benchmark", "id" to "all", "runs" to 1)
        val document = Documents.parseToJsonElement(File(files, "results/all.json").readText()).jsonObject
        assertEquals(4, document.getValue("files").jsonArray.size)
    }

    @Test
    fun `a model that is not bundled is a failure with a reason, and leaves no file`() {
        assertEquals(
            listOf("done c failed no bundled model is named none.tflite"),
            run("task" to "benchmark", "id" to "c", "model" to "none.tflite"),
        )
        assertEquals(emptyList<String>(), results)
    }

    @Test
    fun `nothing else is accepted, and nothing outside of the folder is written`() {
        assertEquals(
            listOf("done - failed id must be 1 to 64 letters, digits and hyphens"),
            run("task" to "selftest", "id" to "../../evil"),
        )
        assertTrue(files.parentFile!!.walk().none { "evil" in it.name })
    }

    @Test
    fun `an extra of an unknown kind is no crash`() {
        assertEquals(listOf("done d failed selftest takes nothing but task, id"), run("task" to "selftest", "id" to "d", "x" to Bundle()))
        assertEquals(emptyList<String>(), results)
    }

    @Test
    fun `no request at all is no crash`() {
        assertEquals(listOf("done - failed id must be 1 to 64 letters, digits and hyphens"), run())
    }
}
