package org.vitconv.demo

import android.content.ContentProvider
import android.content.ContentValues
import android.content.DialogInterface
import android.content.Intent
import android.database.Cursor
import android.graphics.Insets
import android.net.Uri
import android.os.Bundle
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.LinearLayout
import android.widget.Spinner
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotSame
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowAlertDialog
import org.vitconv.core.Accelerator
import org.vitconv.core.GpuCheck
import org.vitconv.core.RunOptions
import org.vitconv.core.screens.ModelEntry
import java.util.concurrent.CountDownLatch

class MainActivityTest : ScreenTests() {
    // --- classify ---

    @Test
    fun `a picture shared from another app is classified`() {
        launch(share(offered(flower)))
        waitFor("an answer", ::answered)
        assertTrue("${words()}", words().containsAll(listOf("87.1%", "2.0%")))
        assertTrue(words().any { "CPU, XNNPACK · 1 thread" in it })
        assertTrue(words().any { "8.3 ms" in it || "8.2 ms" in it })
    }

    @Test
    fun `a picture shared while the app is open replaces what is shown`() {
        launch()
        tap(R.id.nav_benchmark)
        send(share(offered(flower)))
        waitFor("an answer", ::answered)
    }

    @Test
    fun `a share builds one screen`() {
        launch()
        tap(R.id.nav_benchmark)
        var screens = 0
        activity.findViewById<ViewGroup>(R.id.content).setOnHierarchyChangeListener(
            object : ViewGroup.OnHierarchyChangeListener {
                override fun onChildViewAdded(parent: View, child: View) {
                    screens++
                }

                override fun onChildViewRemoved(parent: View, child: View) = Unit
            },
        )
        send(share(offered(flower)))
        waitFor("an answer", ::answered)
        assertEquals(1, screens)
    }

    @Test
    fun `the picker is asked for a picture and gives one`() {
        launch()
        tap(R.id.gallery)
        val asked = shadowOf(activity).nextStartedActivityForResult
        assertEquals("android.provider.action.PICK_IMAGES", asked.intent.action)
        shadowOf(activity).receiveResult(asked.intent, android.app.Activity.RESULT_OK, Intent().setData(offered(flower)))
        waitFor("an answer", ::answered)
    }

    @Test
    fun `the camera app is lent one file, after the user allowed the camera`() {
        launch()
        tap(R.id.camera)
        assertEquals(listOf("android.permission.CAMERA"), shadowOf(activity).lastRequestedPermission.requestedPermissions.toList())
        shadowOf(activity.application).grantPermissions("android.permission.CAMERA")
        tap(R.id.camera)
        val asked = shadowOf(activity).nextStartedActivityForResult.intent
        assertEquals("android.media.action.IMAGE_CAPTURE", asked.action)
        assertEquals("content://org.vitconv.demo.capture/picture.jpg", asked.clipData?.getItemAt(0)?.uri.toString())
    }

    @Test
    fun `a camera that was denied for good leads to the settings`() {
        launch()
        tap(R.id.camera)
        deny()
        val dialog = ShadowAlertDialog.getLatestAlertDialog()
        assertEquals(activity.getString(R.string.live_denied), shadowOf(dialog).message)
        dialog.getButton(DialogInterface.BUTTON_POSITIVE).performClick()
        settle()
        assertEquals("android.settings.APPLICATION_DETAILS_SETTINGS", shadowOf(activity).nextStartedActivity.action)
    }

    @Test
    fun `a broken picture, one that is gone, and a private file are refused with words`() {
        launch(share(offered(flower.copyOf(2000), "broken.jpg")))
        waitFor("a refusal") { activity.getString(R.string.picture_broken) in words() }
        Robolectric.buildContentProvider(RudeProvider::class.java).create("rude")
        for (uri in listOf("content://rude/picture.jpg", "file:///data/data/org.vitconv.demo/files/secret")) {
            send(share(Uri.parse(uri)))
            waitFor("a refusal of $uri") { activity.getString(R.string.picture_cannot_open) in words() }
        }
    }

    @Test
    fun `an app that shares something else than an address is told so`() {
        launch(Intent(Intent.ACTION_SEND).setType("image/jpeg").putExtra(Intent.EXTRA_STREAM, Bundle()))
        waitFor("a refusal") { activity.getString(R.string.picture_cannot_open) in words() }
        send(Intent(Intent.ACTION_SEND).setType("image/jpeg"))
        waitFor("a refusal") { activity.getString(R.string.picture_cannot_open) in words() }
    }

    @Test
    fun `the answer survives a rotation`() {
        launch(share(offered(flower)))
        waitFor("an answer", ::answered)
        recreate()
        assertTrue(answered())
    }

    @Test
    fun `without any model the screen says what to do`() {
        TestApplication.models = emptyList()
        launch()
        assertTrue(words().any { "vitconv app build" in it })
        assertFalse(words().any { it == activity.getString(R.string.classify_working) })
    }

    @Test
    fun `everything that can be touched is named for a screen reader`() {
        launch(share(offered(flower)))
        waitFor("an answer", ::answered)
        val bars = activity.findViewById<LinearLayout>(R.id.bars)
        assertEquals("tulips, 87.1%", bars.getChildAt(0).contentDescription)
        for (tab in listOf(R.id.nav_classify, R.id.nav_live, R.id.nav_models, R.id.nav_selftest, R.id.nav_benchmark)) {
            tap(tab)
            forEachView(activity.window.decorView) { view ->
                if (!view.isShown || !view.isClickable) return@forEachView
                val named = !view.contentDescription.isNullOrEmpty() || (view as? android.widget.TextView)?.text?.isNotEmpty() == true ||
                    view is android.widget.Spinner || view is android.view.ViewGroup
                assertTrue("$view has no name", named)
                assertTrue("$view is too small to touch", view.height >= 47 * activity.resources.displayMetrics.density)
            }
        }
    }

    @Test
    fun `the first frame waits for nothing that is read or asked`() {
        val go = CountDownLatch(1)
        var thread: Thread? = null
        TestApplication.beforeParts = {
            thread = Thread.currentThread()
            go.await()
        }
        launch(share(offered(flower)))
        assertTrue("${words()}", activity.getString(R.string.nav_benchmark) in words())
        tap(R.id.nav_models)
        tap(R.id.nav_classify)
        recreate()
        leave()
        comeBack()
        go.countDown()
        waitFor("an answer", ::answered)
        assertNotSame(Looper.getMainLooper().thread, thread)
    }

    // --- live ---

    @Test
    fun `the live view asks for the camera, and says so when it is not allowed`() {
        launch()
        tap(R.id.nav_live)
        assertTrue(activity.getString(R.string.live_permission) in words())
        tap(R.id.live_action)
        deny()
        assertTrue(activity.getString(R.string.live_denied) in words())
        tap(R.id.live_action)
        assertEquals("android.settings.APPLICATION_DETAILS_SETTINGS", shadowOf(activity).nextStartedActivity.action)
    }

    @Test
    fun `a device without a camera is told so`() {
        launch()
        shadowOf(activity.application).grantPermissions("android.permission.CAMERA")
        tap(R.id.nav_live)
        waitFor("the message") { activity.getString(R.string.live_no_camera) in words() }
    }

    @Test
    fun `frames show the best classes`() {
        launch()
        tap(R.id.nav_live)
        repeat(3) { kotlinx.coroutines.runBlocking { activity.screens.live.frame(org.vitconv.core.ArrayPixels(1, 1, IntArray(1))) } }
        settle()
        assertTrue(answered())
        assertTrue(words().any { "frames/s" in it })
    }

    // --- models ---

    @Test
    fun `the model that is tapped is used from then on`() {
        launch()
        tap(R.id.nav_models)
        val list = activity.findViewById<LinearLayout>(R.id.models_list)
        list.getChildAt(1).performClick() // below what all have in common
        settle()
        assertEquals("mobilevit_xxs-tf_flowers-float32.tflite", activity.screens.models.selected?.name)
        assertTrue(activity.findViewById<LinearLayout>(R.id.models_list).getChildAt(1).isSelected)
    }

    @Test
    fun `a file that is no model is refused with the reason`() {
        launch()
        tap(R.id.nav_models)
        tap(R.id.models_open)
        val asked = shadowOf(activity).nextStartedActivityForResult.intent
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, asked.action)
        shadowOf(activity).receiveResult(asked, android.app.Activity.RESULT_OK, Intent().setData(offered("no model".toByteArray(), "x.tflite")))
        waitFor("a refusal") { words().any { "it is not a TensorFlow Lite model" in it } }
        assertEquals(TestApplication.models, activity.screens.models.state.value.models.entries)
    }

    /** Another app's provider of documents, which fails at everything. */
    class RudeProvider : ContentProvider() {
        override fun onCreate() = true

        override fun query(uri: Uri, columns: Array<String>?, where: String?, with: Array<String>?, order: String?): Cursor? {
            askedOnMainThread += Looper.myLooper() == Looper.getMainLooper()
            throw IllegalStateException("the account is gone")
        }

        override fun openFile(uri: Uri, mode: String) = throw IllegalStateException("the account is gone")

        override fun getType(uri: Uri): String? = null

        override fun insert(uri: Uri, values: ContentValues?): Uri? = null

        override fun delete(uri: Uri, where: String?, with: Array<String>?) = 0

        override fun update(uri: Uri, values: ContentValues?, where: String?, with: Array<String>?) = 0

        companion object {
            val askedOnMainThread = mutableListOf<Boolean>()
        }
    }

    @Test
    fun `a provider of documents that fails is no crash, and is not asked on the main thread`() {
        Robolectric.buildContentProvider(RudeProvider::class.java).create("rude")
        RudeProvider.askedOnMainThread.clear()
        launch()
        tap(R.id.nav_models)
        tap(R.id.models_open)
        val asked = shadowOf(activity).nextStartedActivityForResult.intent
        shadowOf(activity).receiveResult(asked, android.app.Activity.RESULT_OK, Intent().setData(Uri.parse("content://rude/model.tflite")))
        waitFor("a refusal") { words().any { "the account is gone" in it } }
        assertTrue(words().any { it.startsWith("model.tflite") })
        assertEquals(listOf(false), RudeProvider.askedOnMainThread)
    }

    // --- self-test ---

    @Test
    fun `the self-test shows which files passed and why others did not`() {
        launch()
        tap(R.id.nav_selftest)
        tap(R.id.selftest_button)
        waitFor("the verdict") { activity.getString(R.string.selftest_failed) in words() }
        assertEquals(3, words().count { "✓" in it })
        assertEquals(1, words().count { "✗" in it })
        assertTrue(words().any { "is off by" in it })
    }

    // --- benchmark ---

    @Test
    fun `a benchmark is shown as a table and shared as JSON`() {
        launch()
        tap(R.id.nav_benchmark)
        tap(R.id.benchmark_button)
        waitFor("the table") { activity.getString(R.string.row_p95) in words() }
        assertTrue("390 of 439 operations, 57 parts" in words())
        tap(R.id.benchmark_share)
        val chooser = shadowOf(activity).nextStartedActivity
        @Suppress("DEPRECATION")
        val shared = chooser.getParcelableExtra<Intent>(Intent.EXTRA_INTENT)
        assertTrue(shared?.getStringExtra(Intent.EXTRA_TEXT).orEmpty().contains("\"p50_ms\": 8.25"))
    }

    private fun spinner(id: Int) = activity.findViewById<Spinner>(id)

    @Test
    fun `what is chosen for a benchmark stays, on other tabs and when it runs again`() {
        launch()
        tap(R.id.nav_benchmark)
        spinner(R.id.benchmark_with).setSelection(0)
        spinner(R.id.benchmark_runs).setSelection(0)
        settle()
        tap(R.id.nav_models)
        tap(R.id.nav_benchmark)
        recreate()
        assertEquals(listOf(0, 0), listOf(R.id.benchmark_with, R.id.benchmark_runs).map { spinner(it).selectedItemPosition })
        for (again in listOf(false, true)) {
            if (again) spinner(R.id.benchmark_runs).setSelection(1)
            settle()
            tap(R.id.benchmark_button)
            waitFor("the table") { activity.getString(R.string.row_p95) in words() }
            assertTrue("${words()}", (if (again) "50" else "10") in words())
            assertTrue(activity.getString(R.string.benchmark_again) in words())
            assertTrue(activity.getString(R.string.accelerator_cpu) in words())
        }
    }

    @Test
    fun `what was chosen is still chosen after the app was killed`() {
        launch()
        tap(R.id.nav_models)
        activity.findViewById<LinearLayout>(R.id.models_list).getChildAt(2).performClick()
        tap(R.id.nav_benchmark)
        spinner(R.id.benchmark_with).setSelection(2)
        spinner(R.id.benchmark_runs).setSelection(2)
        settle()
        val chosen = activity.screens.models.state.value.models
        assertEquals("float16" to Accelerator.NNAPI, chosen.selected?.scheme to chosen.options.accelerator)
        val before = activity.application
        endAndComeBack()
        assertNotSame(before, activity.application)
        assertEquals(chosen.copy(runs = 200), activity.screens.models.state.value.models)
        assertEquals(listOf(2, 2), listOf(R.id.benchmark_with, R.id.benchmark_runs).map { spinner(it).selectedItemPosition })
    }

    @Test
    fun `a choice that is damaged or no longer there is forgotten`() {
        launch()
        val application = activity.application as TestApplication
        for (text in listOf("no JSON", "{\"model\": \"gone.tflite\", \"accelerator\": \"gpu\", \"threads\": 900}")) {
            application.getSharedPreferences("choices", 0).edit().putString("choices", text).commit()
            val found = application.createParts().models.state.value.models
            assertEquals(listOf("int8", RunOptions()), listOf(found.selected?.scheme, found.options))
        }
    }

    @Test
    fun `models that were timed are compared, the fastest first`() {
        launch()
        tap(R.id.nav_benchmark)
        tap(R.id.benchmark_button)
        waitFor("the table") { activity.getString(R.string.row_p95) in words() }
        assertFalse(activity.getString(R.string.benchmark_compared) in words())
        activity.screens.models.select(TestApplication.models.first())
        TestApplication.medianMs = 4.0
        tap(R.id.benchmark_button)
        waitFor("the comparison") { activity.getString(R.string.benchmark_compared) in words() }
        val bars = activity.findViewById<LinearLayout>(R.id.benchmark_bars)
        val shown = (0 until bars.childCount).map { bars.getChildAt(it) }
        assertEquals(
            listOf("mobilevit_xxs · tf_flowers · float32, CPU, XNNPACK · 1 thread, 4.00 ms", "mobilevit_xxs · tf_flowers · int8, CPU, XNNPACK · 1 thread, 8.25 ms"),
            shown.map { it.contentDescription.toString() },
        )
        assertEquals(listOf(484, 1000), shown.map { it.findViewById<android.widget.ProgressBar>(R.id.bar_progress).progress })
        activity.findViewById<View>(R.id.content).let { (it as ViewGroup).getChildAt(0).scrollTo(0, 100_000) }
    }

    @Test
    fun `where there is no model, or one that cannot be used, a button leads to the models`() {
        TestApplication.models = emptyList()
        launch()
        for (tab in listOf(R.id.nav_classify to R.id.to_models, R.id.nav_selftest to R.id.selftest_button, R.id.nav_benchmark to R.id.benchmark_button)) {
            tap(tab.first)
            assertTrue(activity.getString(R.string.open_models) in words())
            tap(tab.second)
            assertTrue(activity.getString(R.string.models_open) in words())
        }
        shadowOf(activity.application).grantPermissions("android.permission.CAMERA")
        tap(R.id.nav_live)
        tap(R.id.live_action)
        assertTrue(activity.getString(R.string.models_open) in words())
    }

    @Test
    fun `a benchmark ends when the app goes to the background, and keeps the screen on until then`() {
        TestApplication.runMs = 200 // fifty runs outlast what comes, on a busy machine, too
        launch()
        tap(R.id.nav_benchmark)
        tap(R.id.benchmark_button)
        waitFor("a run") { words().any { it.startsWith("Run ") } }
        assertTrue(activity.findViewById<View>(R.id.benchmark_button).rootView.let { keepsScreenOn(it) })
        recreate()
        assertTrue(words().any { it.startsWith("Run ") })
        leave()
        comeBack()
        assertTrue("${words()}", activity.getString(R.string.benchmark_interrupted) in words())
        assertFalse(keepsScreenOn(activity.window.decorView))
    }

    // --- looks ---

    @Test
    fun `what can be touched or read is clear of the bars and of a cut-out`() {
        launch(share(offered(flower)))
        waitFor("an answer", ::answered)
        fun padding(id: Int) = activity.findViewById<View>(id).run { listOf(paddingLeft, paddingTop, paddingRight, paddingBottom) }
        fun apply(bars: Insets, cutout: Insets) {
            activity.findViewById<View>(R.id.root).dispatchApplyWindowInsets(SystemBars(bars, cutout).insets())
            settle()
        }
        // Upright: a camera in the status bar that is lower than the bar, and three buttons.
        apply(Insets.of(0, 48, 0, 96), Insets.of(0, 80, 0, 0))
        assertEquals(listOf(0, 80, 0, 0) to listOf(0, 0, 0, 96), padding(R.id.root) to padding(R.id.nav))
        // Sideways: the camera on the left, the buttons on the right.
        launch(share(offered(flower)), "w786dp-h393dp-land-xhdpi")
        waitFor("an answer", ::answered)
        apply(Insets.of(0, 48, 96, 0), Insets.of(80, 0, 0, 0))
        assertEquals(listOf(0, 0, 96, 0) to listOf(80, 48, 0, 0), padding(R.id.root) to padding(R.id.nav))
        launch(share(offered(flower)), "+ar-ldrtl")
        waitFor("an answer", ::answered)
        apply(Insets.of(0, 48, 96, 0), Insets.of(80, 0, 0, 0))
        assertEquals(listOf(80, 0, 0, 0) to listOf(0, 48, 96, 0), padding(R.id.root) to padding(R.id.nav))
    }

    @Test
    fun `a name is broken into lines between its parts alone, however large the text is`() {
        launch(share(offered(flower)), fontScale = 2f)
        waitFor("an answer", ::answered)
        for (tab in listOf(R.id.nav_classify, R.id.nav_models, R.id.nav_selftest, R.id.nav_benchmark)) {
            tap(tab)
            if (tab == R.id.nav_selftest) {
                tap(R.id.selftest_button)
                waitFor("the verdict") { activity.getString(R.string.selftest_failed) in words() }
            }
            var names = 0
            forEachView(activity.window.decorView) { view ->
                if (view !is android.widget.TextView || !view.isShown || view.layout == null) return@forEachView
                if ("mobilevit" !in view.text && view.text.toString() !in SCHEMES) return@forEachView
                val layout = view.layout
                names++
                for (line in 0 until layout.lineCount) {
                    assertEquals("$line of ${view.text}", 0, layout.getEllipsisCount(line))
                    val end = layout.getLineEnd(line)
                    assertTrue("${view.text} at $end", end == view.text.length || view.text[end - 1] == ' ')
                }
            }
            assertTrue("$names names", names > 0)
        }
    }

    @Test
    fun `in Chinese nothing is said in English`() {
        TestApplication.models = TestApplication.models.map { it.copy(gpu = GpuCheck(false, listOf("the delegate refuses EXP"))) }
        launch(share(offered(flower)), "+zh")
        val english = Regex("[A-Za-z]{2,} [a-z]{2,}")
        fun check() = assertEquals(emptyList<String>(), words().filter { english.containsMatchIn(it.replace("vitconv verify", "")) })
        waitFor("an answer", ::answered)
        activity.screens.models.runWith(RunOptions(1, Accelerator.GPU))
        for (tab in listOf(R.id.nav_models, R.id.nav_classify)) tap(tab)
        waitFor("an answer", ::answered)
        check()
        assertTrue("${words()}", words().any { "CPU 上运行" in it })
        tap(R.id.nav_selftest)
        tap(R.id.selftest_button)
        waitFor("the verdict") { activity.getString(R.string.selftest_failed) in words() }
        check()
        tap(R.id.nav_benchmark)
        tap(R.id.benchmark_button)
        waitFor("the table") { activity.getString(R.string.row_p95) in words() }
        check()
        assertFalse("${words()}", words().any { "none" in it })
    }

    @Test
    fun `a model that the user opened says so`() {
        TestApplication.models += ModelEntry("mine.tflite", null, 7_000_000, ModelEntry.Source.Opened)
        launch()
        tap(R.id.nav_models)
        assertTrue(words().any { "opened by you" in it })
    }

    private companion object {
        val SCHEMES = setOf("float32", "float16", "dynamic", "int8")
    }
}
