package org.vitconv.demo

import android.content.ComponentName
import android.content.Intent
import android.content.pm.ActivityInfo
import android.os.Bundle
import android.os.Looper
import android.os.PowerManager
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
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.shadows.ShadowLog
import org.vitconv.core.Documents
import java.io.File
import java.time.Duration

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = TestApplication::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class TaskActivityTest {
    private val files: File get() = RuntimeEnvironment.getApplication().getExternalFilesDir(null)!!
    private val results: List<String> get() = File(files, "results").list().orEmpty().sorted()

    @Before
    fun withTheUsualModels() {
        TestApplication.models = TestApplication.defaultModels()
        TestApplication.runMs = 0
        TestApplication.beforeParts = null
    }

    private fun request(vararg extras: Pair<String, Any>): Intent {
        val intent = Intent()
        for ((name, value) in extras) {
            when (value) {
                is Int -> intent.putExtra(name, value)
                is Bundle -> intent.putExtra(name, value)
                else -> intent.putExtra(name, value.toString())
            }
        }
        return intent
    }

    private fun start(vararg extras: Pair<String, Any>): ActivityController<TaskActivity> =
        Robolectric.buildActivity(TaskActivity::class.java, request(*extras)).setup()

    /** Runs the task and returns what it logged. */
    private fun run(vararg extras: Pair<String, Any>): List<String> = end(start(*extras).get())

    private fun end(activity: TaskActivity): List<String> {
        waitFor { activity.isFinishing }
        return ShadowLog.getLogsForTag("vitconv").map { it.msg }
    }

    private fun waitFor(condition: () -> Boolean) {
        repeat(2000) {
            if (condition()) return
            shadowOf(Looper.getMainLooper()).idleFor(Duration.ofMillis(10))
            Thread.sleep(5)
        }
        throw AssertionError("waited in vain")
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
    fun `only adb's shell may start it, and one activity takes all requests`() {
        val application = RuntimeEnvironment.getApplication()
        val info = application.packageManager.getActivityInfo(ComponentName(application, TaskActivity::class.java), 0)
        assertEquals("android.permission.DUMP", info.permission)
        assertEquals(ActivityInfo.LAUNCH_SINGLE_TASK, info.launchMode)
    }

    @Test
    fun `a request that comes while a task runs is a task of its own`() {
        TestApplication.runMs = 5
        val controller = start("task" to "benchmark", "id" to "first", "runs" to 10)
        shadowOf(Looper.getMainLooper()).idle()
        controller.newIntent(request("task" to "benchmark", "id" to "second", "runs" to 3))
        assertEquals(listOf("done first ok", "done second ok"), end(controller.get()))
        assertEquals(listOf("first.json", "second.json"), results)
    }

    @Test
    fun `a phone whose screen stays off is said to be so`() {
        shadowOf(RuntimeEnvironment.getApplication().getSystemService(PowerManager::class.java)).turnScreenOn(false)
        assertEquals(
            listOf("done e failed the screen is off or locked. Wake the phone, unlock it, and try again"),
            run("task" to "benchmark", "id" to "e", "runs" to 3),
        )
        assertEquals(emptyList<String>(), results)
    }

    @Test
    fun `what leaves the screen while it is timed is no result`() {
        TestApplication.runMs = 5
        val controller = start("task" to "benchmark", "id" to "f", "runs" to 1000)
        shadowOf(Looper.getMainLooper()).idle()
        controller.pause().stop()
        assertEquals(
            listOf("done f failed the app left the screen before it was done. Leave it in front, and the screen on"),
            end(controller.get()),
        )
        assertEquals(emptyList<String>(), results)
    }

    @Test
    fun `no request at all is no crash`() {
        assertEquals(listOf("done - failed id must be 1 to 64 letters, digits and hyphens"), run())
    }
}
