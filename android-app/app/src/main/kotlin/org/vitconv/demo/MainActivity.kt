package org.vitconv.demo

import android.Manifest
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
import androidx.activity.ComponentActivity
import androidx.activity.result.ActivityResultLauncher
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts.OpenDocument
import androidx.activity.result.contract.ActivityResultContracts.PickVisualMedia
import androidx.activity.result.contract.ActivityResultContracts.RequestPermission
import androidx.activity.viewModels
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import org.vitconv.core.FileTitle
import org.vitconv.demo.picture.CaptureProvider
import org.vitconv.demo.picture.TakePicture
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

/** The app's window: five tabs, and what only an activity can do for them. What it shows is [MainViewModel]'s. */
class MainActivity : ComponentActivity() {
    private val model: MainViewModel by viewModels { MainViewModel.Factory }

    /** There as soon as a screen is shown. */
    lateinit var screens: Screens
        private set

    private lateinit var nav: RadioGroup

    /** The tab that is shown. */
    private var tab = Tab.CLASSIFY
    private var screen: Screen? = null
    private var scope: CoroutineScope? = null

    // The answers of other activities, also where this one is made anew meanwhile, or its process.
    private val picker = registerForActivityResult(PickVisualMedia()) { it?.let { picture -> classify(picture, lasts = true) } }
    private val camera = registerForActivityResult(TakePicture()) { if (it) classify(CaptureProvider.uri(this)) }
    private val files = registerForActivityResult(OpenDocument()) { it?.let(model::open) }
    private val permission = registerForActivityResult(RequestPermission()) { model.withScreens { screen?.onPermission() } }

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
        tab = model.tab
        nav.check(tab.button)
        nav.setOnCheckedChangeListener { _, id -> open(Tab.entries.first { it.button == id }) }
        if (savedInstanceState == null) classifyShared(intent)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        classifyShared(intent)
    }

    override fun onStart() {
        super.onStart()
        show()
    }

    override fun onStop() {
        hide()
        if (!isChangingConfigurations) model.leave()
        super.onStop()
    }

    /** Asks for a picture with the system's own picker: the app sees what is chosen and nothing else. */
    fun pickPicture() = ask(picker, PickVisualMediaRequest(PickVisualMedia.ImageOnly))

    /** Has the camera app take one. An app that declares the camera's permission must hold it for that, too. */
    fun takePicture() = if (mayUseCamera()) ask(camera, CaptureProvider.uri(this)) else askForCamera()

    /** Asks for a model's file. Few file managers know a type for .tflite. */
    fun openFile() = ask(files, arrayOf("*/*"))

    private fun <T> ask(other: ActivityResultLauncher<T>, what: T) = orSayThatThereIsNone { other.launch(what) }

    /** Starts an activity that gives nothing back. */
    fun show(intent: Intent) = orSayThatThereIsNone { startActivity(intent) }

    private fun orSayThatThereIsNone(start: () -> Unit) {
        try {
            start()
        } catch (_: ActivityNotFoundException) {
            Toast.makeText(this, R.string.no_app, Toast.LENGTH_LONG).show()
        }
    }

    fun mayUseCamera(): Boolean = checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED

    /** False once the user has said no for good. */
    fun mayAskForCameraAgain(): Boolean = shouldShowRequestPermissionRationale(Manifest.permission.CAMERA)

    fun askForCamera() = ask(permission, Manifest.permission.CAMERA)

    /** Where the user allows again what was denied for good: Android asks no more. */
    fun openSettings() {
        val app = Uri.fromParts("package", packageName, null)
        show(Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, app))
    }

    /** Where models are chosen: the way out where there is none, or one that cannot be used. */
    fun openModels() = nav.check(Tab.MODELS.button)

    private fun classify(picture: Uri, lasts: Boolean = false) {
        nav.check(Tab.CLASSIFY.button)
        model.classify(picture, lasts)
    }

    private fun open(chosen: Tab) {
        // A group of buttons tells of one choice up to three times, the first time still of the old one.
        if (chosen == tab) return
        tab = chosen
        model.tab = chosen
        if (scope == null) return // not visible; onStart shows it
        hide()
        show()
    }

    /** At once, or as soon as there is what it shows. */
    private fun show() {
        val until = CoroutineScope(SupervisorJob() + Dispatchers.Main.immediate)
        scope = until
        until.launch {
            screens = model.screens()
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
        nav.check(Tab.CLASSIFY.button)
        when (val picture = stream(intent)) {
            null -> model.classifyNothing()
            else -> model.classify(picture)
        }
    }

    /** Null where another app sent something else in the place of an address. */
    private fun stream(intent: Intent): Uri? = try {
        @Suppress("DEPRECATION") // its successor of Android 13 is one more way to do the same
        intent.getParcelableExtra<Parcelable>(Intent.EXTRA_STREAM) as? Uri
    } catch (_: RuntimeException) {
        null // not even Android can read it
    }
}
