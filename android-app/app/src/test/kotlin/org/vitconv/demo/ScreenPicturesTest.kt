package org.vitconv.demo

import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Color
import android.graphics.drawable.BitmapDrawable
import android.view.View
import android.view.ViewGroup
import android.widget.ProgressBar
import android.widget.ScrollView
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric
import org.robolectric.Shadows.shadowOf
import org.vitconv.core.Accelerator
import org.vitconv.core.ArrayPixels
import org.vitconv.core.GpuCheck
import org.vitconv.core.ModelProblem
import org.vitconv.core.RunOptions
import org.vitconv.core.screens.ModelEntry

/** Every screen and every state of it, as a picture; src/test/screens has those that were looked at. */
class ScreenPicturesTest : ScreenTests() {
    /** Puts the system's bars over what was launched. */
    private var bars: SystemBars? = null

    private fun launchBehindBars(
        intent: Intent = Intent(Intent.ACTION_MAIN),
        qualifiers: String = "",
        fontScale: Float = 1f,
        make: (dp: Float) -> SystemBars = SystemBars::upright,
    ) {
        launch(intent, qualifiers, fontScale)
        val over = make(activity.resources.displayMetrics.density)
        bars = over
        activity.findViewById<View>(R.id.root).dispatchApplyWindowInsets(over.insets())
        settle()
    }

    private fun picture(name: String) = screenshot(name, bars)

    /** One of the live view's frames; and the camera's picture, which Robolectric draws nowhere. */
    private fun frame() {
        activity.findViewById<View>(R.id.content).background = BitmapDrawable(activity.resources, drawnFlower())
        activity.findViewById<View>(R.id.preview).visibility = View.INVISIBLE
        runBlocking { activity.screens.live.frame(ArrayPixels(1, 1, IntArray(1))) }
        settle()
    }

    private fun leaveLive() {
        activity.findViewById<View>(R.id.content).background = null
    }

    // --- every screen, in each look ---

    private fun everyScreen(look: String) {
        fun pictureOfTheEnd(name: String) {
            if (look in LOOKS_TO_SCROLL) this.pictureOfTheEnd(name)
        }
        waitFor("an answer", ::answered)
        picture("classify-$look")
        pictureOfTheEnd("classify-$look")
        tap(R.id.nav_live)
        frame()
        picture("live-$look")
        leaveLive()
        tap(R.id.nav_models)
        picture("models-$look")
        pictureOfTheEnd("models-$look")
        tap(R.id.nav_selftest)
        tap(R.id.selftest_button)
        waitFor("the verdict") { activity.getString(R.string.selftest_failed) in words() }
        picture("selftest-$look")
        pictureOfTheEnd("selftest-$look")
        tap(R.id.nav_benchmark)
        tap(R.id.benchmark_button)
        waitFor("the table") { activity.getString(R.string.row_p95) in words() }
        picture("benchmark-$look")
        pictureOfTheEnd("benchmark-$look")
    }

    /** What lies below the screen's edge. */
    private fun pictureOfTheEnd(name: String) {
        val content = activity.findViewById<ViewGroup>(R.id.content)
        forEachView(content) { (it as? ScrollView)?.scrollTo(0, 100_000) }
        var scrolled = false
        forEachView(content) { scrolled = scrolled || it.scrollY > 0 }
        if (scrolled) picture("$name-end")
    }

    @Test
    fun `in daylight`() {
        launchBehindBars(share(offered(flower)))
        everyScreen("light")
    }

    @Test
    fun `in the dark`() {
        launchBehindBars(share(offered(flower)), "+night")
        everyScreen("dark")
    }

    @Test
    fun `in landscape`() {
        launchBehindBars(share(offered(flower)), "w786dp-h393dp-land-xhdpi", make = SystemBars::sideways)
        everyScreen("landscape")
    }

    @Test
    fun `with the largest text of Android 14`() {
        launchBehindBars(share(offered(flower)), fontScale = 2f)
        everyScreen("large")
    }

    @Test
    fun `on a tablet`() {
        launchBehindBars(share(offered(flower)), "w1280dp-h800dp-land-mdpi", make = SystemBars::tablet)
        everyScreen("tablet")
    }

    @Test
    fun `from right to left`() {
        launchBehindBars(share(offered(flower)), "+ar-ldrtl")
        everyScreen("rtl")
    }

    @Test
    fun `in Chinese`() {
        launchBehindBars(share(offered(flower)), "+zh")
        everyScreen("chinese")
    }

    // --- the states of each ---

    @Test
    fun `states of Classify`() {
        launchBehindBars()
        picture("classify-empty")
        send(share(offered(flower.copyOf(2000), "broken.jpg")))
        waitFor("a refusal") { activity.getString(R.string.picture_broken) in words() }
        picture("classify-broken")
        tap(R.id.camera)
        deny()
        picture("classify-denied")
    }

    @Test
    fun `Classify while the model works`() {
        TestApplication.gate = Gate(0)
        launchBehindBars(share(offered(flower)))
        waitFor("the picture") { activity.findViewById<View>(R.id.picture).visibility == View.VISIBLE }
        picture("classify-working")
    }

    @Test
    fun `Classify while it looks for what the answer rests on`() {
        TestApplication.gate = Gate(1 + 40)
        launchBehindBars(share(offered(flower)))
        waitFor("an answer", ::answered)
        tap(R.id.reasons_button)
        waitFor("the fortieth part") { activity.findViewById<ProgressBar>(R.id.reasons_progress).progress == 40 }
        pictureOfTheEnd("classify-looking")
    }

    @Test
    fun `Classify with a model that cannot be used`() {
        TestApplication.refused = ModelProblem.NoMetadata
        launchBehindBars(share(offered(flower)))
        waitFor("a refusal") { activity.getString(R.string.open_models) in words() }
        picture("classify-failed")
    }

    @Test
    fun `Classify on another processor than was chosen`() {
        TestApplication.models = TestApplication.models.map { it.copy(gpu = GpuCheck(false, listOf("the delegate refuses EXP"))) }
        launchBehindBars(share(offered(flower)))
        activity.screens.models.runWith(RunOptions(1, Accelerator.GPU))
        for (tab in listOf(R.id.nav_models, R.id.nav_classify)) tap(tab)
        waitFor("an answer", ::answered)
        pictureOfTheEnd("classify-refused-on-gpu")
    }

    @Test
    fun `every screen without a model`() {
        TestApplication.models = emptyList()
        launchBehindBars()
        shadowOf(activity.application).grantPermissions("android.permission.CAMERA")
        val tabs = listOf(R.id.nav_classify, R.id.nav_live, R.id.nav_models, R.id.nav_selftest, R.id.nav_benchmark)
        for ((tab, name) in tabs.zip(listOf("classify", "live", "models", "selftest", "benchmark"))) {
            tap(tab)
            picture("$name-no-model")
        }
    }

    @Test
    fun `states of Live`() {
        launchBehindBars()
        tap(R.id.nav_live)
        picture("live-permission")
        tap(R.id.live_action)
        deny()
        picture("live-denied")
        shadowOf(activity.application).grantPermissions("android.permission.CAMERA")
        tap(R.id.nav_models)
        tap(R.id.nav_live)
        waitFor("the message") { activity.getString(R.string.live_no_camera) in words() }
        picture("live-no-camera")
        activity.screens.live.permission(granted = true, mayAsk = true)
        settle()
        picture("live-starting")
    }

    @Test
    fun `Live with a model that cannot be used`() {
        TestApplication.refused = ModelProblem.NoMetadata
        launchBehindBars()
        tap(R.id.nav_live)
        frame()
        picture("live-failed")
    }

    @Test
    fun `states of Models`() {
        TestApplication.models += ModelEntry("mine.tflite", null, 7_000_000, ModelEntry.Source.Opened)
        launchBehindBars()
        tap(R.id.nav_models)
        picture("models-opened")
        val opening = CoroutineScope(Dispatchers.Unconfined)
        opening.launch { activity.screens.models.open("flowers.tflite") { awaitCancellation() } }
        settle()
        picture("models-opening")
        opening.cancel()
        TestApplication.refused = ModelProblem.Labels(1000, 1001)
        runBlocking { activity.screens.models.open("flowers.tflite") { ModelEntry("flowers.tflite", null, 5, ModelEntry.Source.Opened) } }
        settle()
        picture("models-failed")
    }

    @Test
    fun `states of the self-test`() {
        TestApplication.gate = Gate(8 + 8 + 3)
        launchBehindBars()
        tap(R.id.nav_selftest)
        picture("selftest-ready")
        tap(R.id.selftest_button)
        waitFor("the third file") { "dynamic" in words() }
        picture("selftest-running")
    }

    @Test
    fun `a self-test whose pictures cannot be read`() {
        TestApplication.goldenProblem = "golden.json: no such file"
        launchBehindBars()
        tap(R.id.nav_selftest)
        tap(R.id.selftest_button)
        waitFor("the reason") { words().any { "golden.json" in it } }
        picture("selftest-failed")
    }

    @Test
    fun `a self-test of files that cannot be used`() {
        TestApplication.refused = ModelProblem.Refused("Op builtin_code out of range: 206")
        launchBehindBars()
        tap(R.id.nav_selftest)
        tap(R.id.selftest_button)
        waitFor("the verdict") { activity.getString(R.string.selftest_failed) in words() }
        picture("selftest-refused")
    }

    @Test
    fun `a benchmark's choices, and a menu of them`() {
        launchBehindBars()
        tap(R.id.nav_benchmark)
        picture("benchmark-choice")
        tap(R.id.benchmark_with)
        picture("benchmark-menu")
    }

    @Test
    fun `a benchmark that runs, and one that was left`() {
        TestApplication.gate = Gate(1 + 5 + 17)
        launchBehindBars()
        tap(R.id.nav_benchmark)
        tap(R.id.benchmark_button)
        waitFor("the runs") { "Run 17 of 50" in words() }
        picture("benchmark-running")
        leave()
        comeBack()
        picture("benchmark-left")
    }

    @Test
    fun `a benchmark that failed`() {
        TestApplication.refused = ModelProblem.NoAccelerator(Accelerator.XNNPACK)
        launchBehindBars()
        tap(R.id.nav_benchmark)
        tap(R.id.benchmark_button)
        waitFor("the reason") { activity.getString(R.string.benchmark_again) in words() }
        picture("benchmark-failed")
    }

    @Test
    fun `models that were timed, beside each other`() {
        launchBehindBars()
        tap(R.id.nav_benchmark)
        for ((model, medianMs) in TestApplication.models.zip(listOf(31.4, 28.9, 12.7, 8.25))) {
            activity.screens.models.select(model)
            TestApplication.medianMs = medianMs
            tap(R.id.benchmark_button)
            waitFor("the table") { activity.getString(R.string.row_p95) in words() && words().any { it.endsWith(model.scheme.orEmpty()) } }
        }
        pictureOfTheEnd("benchmark-compared")
    }

    @Test
    fun `a task of the command line`() {
        TestApplication.gate = Gate(0)
        val request = Intent().putExtra("task", "benchmark").putExtra("id", "picture")
        val task = Robolectric.buildActivity(TaskActivity::class.java, request).setup()
        settle()
        differences.checkSucceeds { Screenshots.check("task", Screenshots.draw(task.get(), null)) }
        TestApplication.gate?.open()
        task.destroy()
    }

    /** Of WCAG 2.1: (lighter + 0.05) / (darker + 0.05) of the relative luminances. */
    private fun contrast(one: Int, other: Int): Float {
        val (lighter, darker) = listOf(one, other).map { Color.luminance(activity.getColor(it)) }.sortedDescending()
        return (lighter + 0.05f) / (darker + 0.05f)
    }

    @Test
    fun `words stand out from what they are on, as WCAG demands`() {
        for (qualifiers in listOf("", "+night")) {
            launch(qualifiers = qualifiers)
            for (words in listOf(R.color.text, R.color.text_secondary, R.color.good, R.color.bad)) {
                for (ground in listOf(R.color.background, R.color.surface)) assertTrue("$words on $ground", contrast(words, ground) >= 4.5)
            }
            for (words in listOf(R.color.text, R.color.text_secondary, R.color.accent)) assertTrue(contrast(words, R.color.accent_soft) >= 4.5)
            assertTrue(contrast(R.color.on_accent, R.color.accent) >= 4.5)
        }
    }

    @Test
    fun `two pictures are the same up to the smoothing of letters`() {
        val picture = drawnFlower()
        assertEquals(0.0, Screenshots.difference(picture, drawnFlower()), 0.0)
        picture.setPixel(3, 3, Color.BLACK)
        assertEquals(1 / (900 * 700.0), Screenshots.difference(picture, drawnFlower()), 1e-12)
        assertTrue(Screenshots.difference(picture, Bitmap.createBitmap(picture, 0, 0, 899, 700)) == 1.0)
    }

    private companion object {
        /** Where lines are broken otherwise than in light. */
        val LOOKS_TO_SCROLL = setOf("light", "large", "landscape")
    }
}
