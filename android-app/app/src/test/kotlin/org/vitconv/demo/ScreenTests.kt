package org.vitconv.demo

import android.app.Instrumentation
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.net.Uri
import android.os.Bundle
import android.os.Looper
import android.os.Parcel
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import org.junit.After
import org.junit.Before
import org.junit.Rule
import org.junit.rules.ErrorCollector
import org.junit.rules.TestName
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.util.ReflectionHelpers
import org.vitconv.core.ResizeRule
import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream

/** What tests of the screens share: the real activity, drawn by Android's own graphics. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = TestApplication::class, qualifiers = PHONE)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
abstract class ScreenTests {
    @get:Rule
    val name = TestName()

    /** Of all pictures of a test, not of the first alone. */
    @get:Rule
    val differences = ErrorCollector()
    private lateinit var controller: ActivityController<MainActivity>
    protected val activity: MainActivity get() = controller.get()

    /** A flower, drawn. */
    protected val flower: ByteArray by lazy {
        ByteArrayOutputStream().also { drawnFlower().compress(Bitmap.CompressFormat.JPEG, 90, it) }.toByteArray()
    }

    protected fun drawnFlower(): Bitmap {
        val bitmap = Bitmap.createBitmap(900, 700, Bitmap.Config.ARGB_8888)
        val canvas = Canvas(bitmap)
        canvas.drawColor(0xFFBFDDF2.toInt())
        val paint = Paint(Paint.ANTI_ALIAS_FLAG)
        paint.color = 0xFF6FA25A.toInt()
        canvas.drawRect(0f, 480f, 900f, 700f, paint)
        paint.color = 0xFF3E7A3A.toInt()
        canvas.drawRect(440f, 330f, 460f, 700f, paint)
        paint.color = 0xFFD8413F.toInt()
        repeat(8) { petal ->
            canvas.save()
            canvas.rotate(petal * 45f, 450f, 300f)
            canvas.drawOval(405f, 90f, 495f, 290f, paint)
            canvas.restore()
        }
        paint.color = Color.YELLOW
        canvas.drawCircle(450f, 300f, 70f, paint)
        return bitmap
    }

    protected fun share(uri: Uri) = Intent(Intent.ACTION_SEND).setType("image/jpeg").putExtra(Intent.EXTRA_STREAM, uri)

    @Before
    fun withTheUsualModels() {
        TestApplication.models = TestApplication.defaultModels()
        TestApplication.runMs = 0
        TestApplication.medianMs = 8.25
        TestApplication.probabilities = TestApplication::mostlyTulips
        TestApplication.resize = ResizeRule.STRETCH
        TestApplication.confidence = null
        TestApplication.beforeParts = null
        TestApplication.gate = null
        TestApplication.refused = null
        TestApplication.goldenProblem = null
    }

    @After
    fun nothingWaitsAnyLonger() {
        TestApplication.gate?.open()
    }

    /** Starts the app; [qualifiers] are of resources, as `+night`. */
    protected fun launch(intent: Intent = Intent(Intent.ACTION_MAIN), qualifiers: String = "", fontScale: Float = 1f) {
        RuntimeEnvironment.setFontScale(fontScale)
        if (qualifiers.isNotEmpty()) RuntimeEnvironment.setQualifiers(qualifiers)
        controller = Robolectric.buildActivity(MainActivity::class.java, intent).setup()
        settle()
        if (TestApplication.beforeParts == null) {
            waitFor("a screen") { activity.findViewById<ViewGroup>(R.id.content).childCount > 0 }
        }
    }

    protected fun recreate() {
        controller.recreate()
        settle()
    }

    /** Another app is in front; nothing of this one is seen. */
    protected fun leave() {
        controller.pause().stop()
        settle()
    }

    protected fun comeBack() {
        controller.restart().start().resume()
        settle()
    }

    /**
     * Android ends the process while another app is in front, and starts a new one when the user comes back: nothing is
     * left but what was written, and what Android keeps of the activity.
     */
    protected fun endAndComeBack() {
        controller.pause().stop()
        val saved = Bundle().also(controller::saveInstanceState)
        settle()
        controller.destroy() // a process that ends does not come to that; here it stops what goes on
        val application = Instrumentation.newApplication(TestApplication::class.java, RuntimeEnvironment.getApplication().baseContext)
        ReflectionHelpers.setStaticField(RuntimeEnvironment::class.java, "application", application)
        application.onCreate()
        controller = Robolectric.buildActivity(MainActivity::class.java, activity.intent).setup(throughParcel(saved))
        settle()
        waitFor("a screen") { activity.findViewById<ViewGroup>(R.id.content).childCount > 0 }
    }

    /** Android holds it as bytes. */
    private fun throughParcel(bundle: Bundle): Bundle {
        val parcel = Parcel.obtain()
        bundle.writeToParcel(parcel, 0)
        val bytes = parcel.marshall()
        parcel.recycle()
        val other = Parcel.obtain()
        other.unmarshall(bytes, 0, bytes.size)
        other.setDataPosition(0)
        return Bundle.CREATOR.createFromParcel(other).also {
            other.recycle()
            it.classLoader = javaClass.classLoader
        }
    }

    /** The user closes the window for good. */
    protected fun close() {
        activity.finish()
        controller.pause().stop().destroy()
        settle()
    }

    /** The user says no to what was asked for last. */
    @Suppress("DEPRECATION") // what Android calls
    protected fun deny() {
        val asked = shadowOf(activity).lastRequestedPermission
        val no = IntArray(asked.requestedPermissions.size) { PackageManager.PERMISSION_DENIED }
        activity.onRequestPermissionsResult(asked.requestCode, asked.requestedPermissions, no)
        settle()
    }

    protected fun send(intent: Intent) {
        controller.newIntent(intent)
        settle()
    }

    protected fun tap(id: Int) {
        activity.findViewById<View>(id).performClick()
        settle()
    }

    /** Lets background work end and the main thread do what it was left. */
    protected fun settle() {
        repeat(20) {
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(5)
        }
        shadowOf(Looper.getMainLooper()).idle()
    }

    protected fun waitFor(what: String, condition: () -> Boolean) {
        repeat(500) {
            if (condition()) return
            settle()
        }
        throw AssertionError("waited in vain for: $what")
    }

    /** All words on the screen, from top to bottom. */
    protected fun words(): List<String> = buildList {
        fun collect(view: View) {
            if (view.visibility != View.VISIBLE) return
            if (view is TextView && view.text.isNotEmpty()) add(view.text.toString())
            if (view is ViewGroup) repeat(view.childCount) { collect(view.getChildAt(it)) }
        }
        collect(activity.findViewById(android.R.id.content))
    }

    /** Whether [view] or anything in it keeps the screen from going dark. */
    protected fun keepsScreenOn(view: View): Boolean =
        view.keepScreenOn || view is ViewGroup && (0 until view.childCount).any { keepsScreenOn(view.getChildAt(it)) }

    /** Compares what is on the screen, and what [bars] the system has over it, with the picture that is kept of it. */
    protected fun screenshot(name: String, bars: SystemBars? = null) {
        differences.checkSucceeds { Screenshots.check(name, Screenshots.draw(activity, bars)) }
    }

    protected fun answered() = words().any { it == "tulips" }

    protected fun forEachView(view: View, use: (View) -> Unit) {
        use(view)
        if (view is ViewGroup) repeat(view.childCount) { forEachView(view.getChildAt(it), use) }
    }

    /** Makes [content] what another app gives at the returned address. */
    protected fun offered(content: ByteArray, path: String = "picture.jpg"): Uri {
        val uri = Uri.parse("content://elsewhere/$path")
        shadowOf(RuntimeEnvironment.getApplication().contentResolver).registerInputStreamSupplier(uri) { ByteArrayInputStream(content) }
        return uri
    }
}

/** A phone of today, upright. */
const val PHONE = "w393dp-h786dp-xhdpi"
