package org.vitconv.demo

import android.Manifest
import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Context
import android.content.Intent
import android.content.pm.PackageManager
import android.content.res.Configuration
import android.net.Uri
import android.os.Bundle
import android.os.LocaleList
import android.os.Parcelable
import android.provider.Settings
import android.view.ViewGroup
import android.widget.RadioGroup
import android.widget.TextView
import android.widget.Toast
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.vitconv.classifier.BitmapPixels
import org.vitconv.core.FileTitle
import org.vitconv.core.screens.PictureException
import org.vitconv.core.screens.PictureProblem
import org.vitconv.demo.picture.PictureReader
import org.vitconv.demo.ui.BenchmarkScreen
import org.vitconv.demo.ui.ClassifyScreen
import org.vitconv.demo.ui.EdgeToEdge
import org.vitconv.demo.ui.LiveScreen
import org.vitconv.demo.ui.ModelsScreen
import org.vitconv.demo.ui.Screen
import org.vitconv.demo.ui.SelfTestScreen
import org.vitconv.demo.ui.Tab
import org.vitconv.demo.ui.show
import java.util.Locale

/** The app's window: five tabs, and what only an activity can do for them. */
class MainActivity : Activity() {
    private val demo get() = application as DemoApplication

    /** There as soon as a screen is shown. */
    lateinit var screens: Screens
        private set

    private lateinit var nav: RadioGroup
    private var tab = Tab.CLASSIFY
    private var screen: Screen? = null
    private var scope: CoroutineScope? = null

    /** The words are English or Chinese, so are the digits: an Arabic one would turn an English sentence's order around. */
    override fun attachBaseContext(base: Context) {
        val locales = base.resources.configuration.locales
        val withLatinDigits = Array(locales.size()) { Locale.Builder().setLocale(locales[it]).setUnicodeLocaleKeyword("nu", "latn").build() }
        super.attachBaseContext(base.createConfigurationContext(Configuration().apply { setLocales(LocaleList(*withLatinDigits)) }))
    }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main)
        nav = findViewById(R.id.nav)
        val sideways = resources.configuration.orientation == Configuration.ORIENTATION_LANDSCAPE
        EdgeToEdge.apply(window, findViewById(R.id.root), nav, sideways)
        tab = savedInstanceState?.getString(TAB)?.let(Tab::valueOf) ?: Tab.CLASSIFY
        nav.check(tab.button)
        nav.setOnCheckedChangeListener { _, id -> open(Tab.entries.first { it.button == id }) }
        if (savedInstanceState == null) classifyShared(intent)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        classifyShared(intent)
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putString(TAB, tab.name)
    }

    override fun onStart() {
        super.onStart()
        show()
    }

    override fun onStop() {
        hide()
        if (!isChangingConfigurations && ::screens.isInitialized) screens.benchmarks.interrupt()
        super.onStop()
    }

    @Deprecated("Deprecated in Java") // by AndroidX alone; the platform has no other way
    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        super.onActivityResult(requestCode, resultCode, data)
        // Later where the app was killed meanwhile: the screen is made anew first.
        if (resultCode == RESULT_OK) demo.withScreens { screen?.onResult(requestCode, data) }
    }

    override fun onRequestPermissionsResult(requestCode: Int, permissions: Array<String>, grantResults: IntArray) {
        super.onRequestPermissionsResult(requestCode, permissions, grantResults)
        demo.withScreens { screen?.onPermission() }
    }

    /** Starts another app's activity for the screen that is shown; says so where there is none. */
    fun startForResult(intent: Intent, request: Int) {
        try {
            startActivityForResult(intent, request)
        } catch (_: ActivityNotFoundException) {
            Toast.makeText(this, R.string.no_app, Toast.LENGTH_LONG).show()
        }
    }

    fun mayUseCamera(): Boolean = checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED

    /** False once the user has said no for good. */
    fun mayAskForCameraAgain(): Boolean = shouldShowRequestPermissionRationale(Manifest.permission.CAMERA)

    fun askForCamera() = requestPermissions(arrayOf(Manifest.permission.CAMERA), CAMERA_REQUEST)

    /** Where the user allows again what was denied for good: Android asks no more. */
    fun openSettings() {
        val app = Uri.fromParts("package", packageName, null)
        startForResult(Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, app), SETTINGS_REQUEST)
    }

    /** Where models are chosen: the way out where there is none, or one that cannot be used. */
    fun openModels() = nav.check(Tab.MODELS.button)

    /** Classifies a picture of another app. */
    fun classify(picture: Uri) {
        val reader = PictureReader(applicationContext.contentResolver)
        classify { withContext(Dispatchers.IO) { reader.read(picture) } }
    }

    private fun classify(decode: suspend () -> BitmapPixels) {
        nav.check(Tab.CLASSIFY.button)
        demo.withScreens { it.classify.choose(decode) }
    }

    private fun open(chosen: Tab) {
        // A group of buttons tells of one choice up to three times, the first time still of the old one.
        if (chosen == tab) return
        tab = chosen
        if (scope == null) return // not visible; onStart shows it
        hide()
        show()
    }

    /** At once, or as soon as there is what it shows. */
    private fun show() {
        val until = CoroutineScope(SupervisorJob() + Dispatchers.Main.immediate)
        scope = until
        until.launch {
            screens = demo.screens()
            show(until)
        }
    }

    private fun show(until: CoroutineScope) {
        val content = findViewById<ViewGroup>(R.id.content)
        val shown = when (tab) {
            Tab.CLASSIFY -> ClassifyScreen(this, content)
            Tab.LIVE -> LiveScreen(this, content)
            Tab.MODELS -> ModelsScreen(this, content)
            Tab.SELF_TEST -> SelfTestScreen(this, content)
            Tab.BENCHMARK -> BenchmarkScreen(this, content)
        }
        content.removeAllViews()
        content.addView(shown.view)
        findViewById<TextView>(R.id.title).setText(tab.title)
        val model = findViewById<TextView>(R.id.model)
        until.launch {
            screens.models.state.collect {
                val selected = it.models.selected
                model.text = selected?.let { one -> FileTitle.of(one.name).whole }
                model.show(selected != null && tab.isOfOneModel)
            }
        }
        shown.show(until)
        screen = shown
    }

    private fun hide() {
        screen?.onHide()
        scope?.cancel()
        screen = null
        scope = null
    }

    private fun classifyShared(intent: Intent) {
        if (intent.action != Intent.ACTION_SEND) return
        when (val picture = stream(intent)) {
            null -> classify { throw PictureException(PictureProblem.CannotOpen) }
            else -> classify(picture)
        }
    }

    /** Null where another app sent something else in the place of an address. */
    private fun stream(intent: Intent): Uri? = try {
        @Suppress("DEPRECATION") // its successor of Android 13 is one more way to do the same
        intent.getParcelableExtra<Parcelable>(Intent.EXTRA_STREAM) as? Uri
    } catch (_: RuntimeException) {
        null // not even Android can read it
    }

    private companion object {
        const val TAB = "tab"
        const val CAMERA_REQUEST = 1
        const val SETTINGS_REQUEST = 4
    }
}
