package org.vitconv.demo

import android.content.ContentResolver
import android.content.Intent
import android.net.Uri
import android.os.Bundle
import androidx.lifecycle.SavedStateHandle
import androidx.lifecycle.ViewModel
import androidx.lifecycle.ViewModelProvider.AndroidViewModelFactory.Companion.APPLICATION_KEY
import androidx.lifecycle.createSavedStateHandle
import androidx.lifecycle.viewModelScope
import androidx.lifecycle.viewmodel.initializer
import androidx.lifecycle.viewmodel.viewModelFactory
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.vitconv.classifier.BitmapPixels
import org.vitconv.core.screens.Benchmarks
import org.vitconv.core.screens.Classify
import org.vitconv.core.screens.PictureException
import org.vitconv.core.screens.PictureProblem
import org.vitconv.core.screens.SelfTests
import org.vitconv.demo.model.OfferedFile
import org.vitconv.demo.picture.PictureReader
import org.vitconv.demo.ui.Tab

/**
 * What the app's window shows. It outlives a rotation, and ends with the window. What is in [saved] outlives the process
 * as well: the tab, the picture's address, and what self-test and benchmark said. What the user chose is kept by the
 * application, for every window.
 */
class MainViewModel(private val application: DemoApplication, private val saved: SavedStateHandle) : ViewModel() {
    /** Null where the window is new. */
    private val pictureBefore: Uri? = saved[PICTURE]
    private val making: Deferred<Screens> = viewModelScope.async { make() }

    var tab: Tab
        get() = saved.get<String>(TAB)?.let(Tab::valueOf) ?: Tab.CLASSIFY
        set(tab) {
            saved[TAB] = tab.name
        }

    /** The logic behind the screens; it takes a moment until it is there. */
    suspend fun screens(): Screens = making.await()

    /** Calls [use] as soon as the screens' logic is there; at once where it is. */
    fun withScreens(use: (Screens) -> Unit) {
        viewModelScope.launch { use(screens()) }
    }

    /**
     * Classifies a picture of another app. With [lasts] it may be read after the device was started anew, too, where the
     * other app allows that. Otherwise Android allows it until the window is closed for good.
     */
    fun classify(picture: Uri, lasts: Boolean = false) {
        saved[PICTURE] = picture
        withScreens { it.classify.choose { read(picture, lasts) } }
    }

    /** Another app wanted a picture classified, and gave none. */
    fun classifyNothing() {
        saved.remove<Uri>(PICTURE)
        withScreens { it.classify.choose { throw PictureException(PictureProblem.CannotOpen) } }
    }

    /** Takes in a model file of another app. */
    fun open(model: Uri) {
        viewModelScope.launch {
            application.parts().open(OfferedFile(application.contentResolver, model), application.openedModels)
        }
    }

    /** Another window is in front: what would be timed now is not the device's speed. */
    fun leave() {
        if (making.isCompleted) withScreens { it.benchmarks.interrupt() }
    }

    private suspend fun make(): Screens {
        val parts = application.parts()
        val screens = Screens(
            parts,
            parts.classify(viewModelScope),
            parts.selfTests(viewModelScope, kept(SELF_TEST)),
            parts.benchmarks(viewModelScope, kept(BENCHMARK)),
        )
        keep(SELF_TEST, screens.selfTests::toKeep)
        keep(BENCHMARK, screens.benchmarks::toKeep)
        val picture = pictureBefore
        if (picture != null && picture == saved[PICTURE]) screens.classify.choose { read(picture, lasts = false) }
        return screens
    }

    private suspend fun read(picture: Uri, lasts: Boolean): BitmapPixels = withContext(Dispatchers.IO) {
        val resolver = application.contentResolver
        if (lasts) keepReadable(picture, resolver)
        PictureReader(resolver).read(picture)
    }

    /** Only of one picture at a time. */
    private fun keepReadable(picture: Uri, resolver: ContentResolver) {
        try {
            resolver.persistedUriPermissions.map { it.uri }.forEach { resolver.releasePersistableUriPermission(it, READ) }
            resolver.takePersistableUriPermission(picture, READ)
        } catch (_: SecurityException) {
            // Its app lends it to this window alone.
        }
    }

    /** [what] is asked only when Android wants to know. */
    private fun keep(name: String, what: () -> String?) =
        saved.setSavedStateProvider(name) { Bundle().apply { putString(name, what()) } }

    private fun kept(name: String): String? = saved.get<Bundle>(name)?.getString(name)

    companion object {
        private const val TAB = "tab"
        private const val PICTURE = "picture"
        private const val SELF_TEST = "selftest"
        private const val BENCHMARK = "benchmark"
        private const val READ = Intent.FLAG_GRANT_READ_URI_PERMISSION

        val Factory = viewModelFactory {
            initializer { MainViewModel(this[APPLICATION_KEY] as DemoApplication, createSavedStateHandle()) }
        }
    }
}

/** The logic behind the screens of one window. Each has one state, which the screen draws. */
class Screens(
    parts: Parts,
    val classify: Classify<BitmapPixels>,
    val selfTests: SelfTests,
    val benchmarks: Benchmarks,
) {
    val models = parts.models
    val accelerators = parts.accelerators
    val live = parts.live()
}
