package org.vitconv.demo

import android.app.Application
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.async
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.vitconv.classifier.BitmapPixels
import org.vitconv.classifier.BundledModels
import org.vitconv.classifier.Delegates
import org.vitconv.classifier.Logcat
import org.vitconv.classifier.TfLiteClassifier
import org.vitconv.core.Accelerator
import org.vitconv.core.FrameSize
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem
import org.vitconv.core.screens.Benchmarks
import org.vitconv.core.screens.Choices
import org.vitconv.core.screens.ClassifierLoader
import org.vitconv.core.screens.Classify
import org.vitconv.core.screens.Engine
import org.vitconv.core.screens.GoldenImages
import org.vitconv.core.screens.Live
import org.vitconv.core.screens.Machine
import org.vitconv.core.screens.ModelEntry
import org.vitconv.core.screens.ModelSelection
import org.vitconv.core.screens.SelfTests
import org.vitconv.demo.camera.Pictures
import org.vitconv.demo.camera.ReaderPictures
import org.vitconv.demo.model.OfferedFile
import org.vitconv.demo.model.OpenedModels
import java.io.IOException
import java.util.concurrent.Executors

/** Makes what the whole app shares, and keeps it while windows come and go. */
open class DemoApplication : Application() {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Main.immediate)
    private val making: Deferred<Parts> by lazy { scope.async(Dispatchers.Default) { createParts() } }
    val openedModels by lazy { OpenedModels(filesDir.resolve("models")) }

    /**
     * What the app has once. To make it takes time, for assets and a folder are read, and the GPU is asked after; a
     * frame should not wait for that.
     */
    suspend fun parts(): Parts = making.await()

    /** What reads the camera's frames of [size]. */
    open fun cameraPictures(size: FrameSize): Pictures = ReaderPictures(size)

    /** What the user chose when the app ran last; to be read away from the main thread. */
    protected fun choices(): Choices = Choices.read(preferences.getString(CHOICES, null))

    /** Keeps [choices] for the next time. Android writes them by and by, and before it ends the process. */
    protected fun keep(choices: Choices) = preferences.edit().putString(CHOICES, choices.toString()).apply()

    private val preferences get() = getSharedPreferences(CHOICES, MODE_PRIVATE)

    /** Not on the main thread. Tests put other parts in. */
    protected open fun createParts(): Parts {
        val bundled = BundledModels(assets)
        val log = Logcat()
        return Parts(
            models = bundled.entries + openedModels.entries(),
            golden = bundled,
            loader = { model, options ->
                val file = try {
                    when (model.source) {
                        is ModelEntry.Source.Bundled -> bundled.map(model)
                        ModelEntry.Source.Opened -> openedModels.map(model)
                    }
                } catch (error: IOException) {
                    throw ModelException(ModelProblem.Unreadable(error.message.orEmpty()), error)
                }
                TfLiteClassifier.load(file, options, log)
            },
            machine = DeviceMachine(this),
            accelerators = Delegates.available(),
            inference = Executors.newSingleThreadExecutor { Thread(it, "inference") }.asCoroutineDispatcher(),
            choices = choices(),
            keep = ::keep,
        )
    }

    private companion object {
        const val CHOICES = "choices"
    }
}

/** What the app has once: models and the choice among them, and the one engine that runs them. */
class Parts(
    models: List<ModelEntry>,
    private val golden: GoldenImages,
    loader: ClassifierLoader,
    private val machine: Machine,
    val accelerators: List<Accelerator>,
    inference: CoroutineDispatcher,
    choices: Choices = Choices(),
    keep: (Choices) -> Unit = {},
) {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Main.immediate)
    private val engine = Engine(loader, inference)

    val bundledModels = models.filter { it.source is ModelEntry.Source.Bundled }
    val models = ModelSelection(models, engine, choices, accelerators)

    init {
        scope.launch { this@Parts.models.choices.collect { keep(it) } }
    }

    fun classify(scope: CoroutineScope) = Classify<BitmapPixels>(engine, models, scope)

    fun live() = Live(engine, models)

    /** [kept] as in [SelfTests]. */
    fun selfTests(scope: CoroutineScope, kept: String? = null) =
        SelfTests(engine, bundledModels, golden, machine.device, scope, kept)

    /** [kept] as in [Benchmarks]. */
    fun benchmarks(scope: CoroutineScope, kept: String? = null) =
        Benchmarks(engine, models, machine, accelerators, scope, kept)

    /** Takes in a model file of another app. The work goes on whatever the screens do meanwhile. */
    fun open(offered: OfferedFile, copies: OpenedModels) = scope.launch {
        val name = withContext(Dispatchers.IO) { offered.name() }
        models.open(name, { withContext(Dispatchers.IO) { copies.forget(it) } }) {
            withContext(Dispatchers.IO) { offered.open().use { copies.import(name, it) } }
        }
    }
}
