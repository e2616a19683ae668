package org.vitconv.core.screens

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.launch
import kotlinx.coroutines.yield
import kotlinx.serialization.Serializable
import org.vitconv.core.CheckProblem
import org.vitconv.core.Device
import org.vitconv.core.Documents
import org.vitconv.core.FileCheck
import org.vitconv.core.GoldenSet
import org.vitconv.core.Limits
import org.vitconv.core.ModelException
import org.vitconv.core.PixelSource
import org.vitconv.core.SelfTest
import org.vitconv.core.SelfTestDocument
import org.vitconv.core.readOrNull

/** State of the self-test's screen. */
sealed interface SelfTestState {
    /** Nothing is bundled that could be tested. */
    data object NothingToTest : SelfTestState

    data class Ready(val files: Int) : SelfTestState

    data class Running(val current: String, val done: List<FileCheck>, val files: Int) : SelfTestState

    data class Done(val document: SelfTestDocument) : SelfTestState

    /** The golden images themselves cannot be read. */
    data class Failed(val reason: String) : SelfTestState
}

/** What the self-test compares with; it comes with the models. It is read on the engine's thread. */
interface GoldenImages {
    fun read(model: ModelEntry): GoldenSet

    /** The picture [file] of the set. */
    fun picture(model: ModelEntry, file: String): PixelSource

    fun limits(model: ModelEntry): Limits
}

/** Runs the golden images through every bundled model. [kept] is what [toKeep] gave before the app was ended. */
class SelfTests(
    private val engine: Engine,
    bundled: List<ModelEntry>,
    private val golden: GoldenImages,
    private val device: Device,
    private val scope: CoroutineScope,
    kept: String? = null,
) {
    /** The document, with the reasons for which it has no place. */
    @Serializable
    private class Kept(val document: SelfTestDocument, val problems: List<List<CheckProblem>>)

    private val models = bundled.filter { it.source is ModelEntry.Source.Bundled }
    private val states = MutableStateFlow(read(kept) ?: ready())
    val state: StateFlow<SelfTestState> = states.asStateFlow()
    private var work: Job? = null

    fun start() {
        if (work?.isActive == true || models.isEmpty()) return
        work = scope.launch {
            try {
                val document = run { current, done -> states.value = SelfTestState.Running(current, done, models.size) }
                states.value = SelfTestState.Done(document)
            } catch (error: IllegalArgumentException) {
                states.value = SelfTestState.Failed(error.message.orEmpty())
            } catch (error: java.io.IOException) {
                states.value = SelfTestState.Failed(error.message.orEmpty())
            }
        }
    }

    /** What the last test said; null where none has ended. */
    fun toKeep(): String? = (states.value as? SelfTestState.Done)?.document?.let {
        Documents.encodeToString(Kept.serializer(), Kept(it, it.files.map(FileCheck::problems)))
    }

    fun stop() {
        work?.cancel()
        states.value = ready()
    }

    /** Tests every model and tells [progress] before each; throws IOException where golden files cannot be read. */
    suspend fun run(progress: (current: String, done: List<FileCheck>) -> Unit = { _, _ -> }): SelfTestDocument {
        val done = mutableListOf<FileCheck>()
        for (model in models) {
            progress(model.name, done.toList())
            done += check(model)
        }
        return SelfTestDocument(done.all { it.passed }, device, done)
    }

    private suspend fun check(model: ModelEntry): FileCheck {
        val test = SelfTest(model.name, model.scheme.orEmpty(), golden.limits(model))
        try {
            for (image in engine.aside { golden.read(model) }.images) {
                yield()
                engine.use(model) { test.add(it.classify(golden.picture(model, image.file)).probabilities, image.probabilities) }
            }
        } catch (error: ModelException) {
            return SelfTest.refused(model.name, model.scheme.orEmpty(), error.problem)
        }
        return test.result()
    }

    private fun ready(): SelfTestState =
        if (models.isEmpty()) SelfTestState.NothingToTest else SelfTestState.Ready(models.size)

    /** Null where nothing was kept, or by a version that kept something else. */
    private fun read(kept: String?): SelfTestState? {
        val (document, problems) = kept?.let { readOrNull(Kept.serializer(), it) }?.run { document to problems } ?: return null
        return SelfTestState.Done(document.copy(files = document.files.zip(problems) { file, why -> file.copy(problems = why) }))
    }
}
