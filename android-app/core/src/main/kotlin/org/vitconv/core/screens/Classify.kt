package org.vitconv.core.screens

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem
import org.vitconv.core.PixelSource
import org.vitconv.core.Ranked
import org.vitconv.core.RunOptions
import org.vitconv.core.topK

/** What a model says of a picture, and how it was run; [change] is what else than the user's choice that was. */
data class Verdict(
    val model: String,
    val best: List<Ranked>,
    val prepareMs: Double,
    val inferenceMs: Double,
    val options: RunOptions,
    val change: Plan.Change?,
)

/** Why a file gave no picture. */
sealed interface PictureProblem {
    /** It cannot be opened: gone, or another app's and not allowed. */
    data object CannotOpen : PictureProblem

    /** It is no picture, or a broken one. */
    data object NotAPicture : PictureProblem

    /** There is no memory for its pixels. */
    data object TooLarge : PictureProblem
}

class PictureException(val problem: PictureProblem, cause: Throwable? = null) : Exception(problem.toString(), cause)

/** State of the screen that classifies one picture; [P] is a picture as the platform shows it. */
sealed interface ClassifyState<out P> {
    /** Nothing chosen yet. */
    data object Empty : ClassifyState<Nothing>

    /** There is no model to ask. */
    data object NoModel : ClassifyState<Nothing>

    data class Working<P>(val picture: P?) : ClassifyState<P>

    data class Answered<P>(val picture: P, val verdict: Verdict) : ClassifyState<P>

    data class BadPicture(val problem: PictureProblem) : ClassifyState<Nothing>

    data class BadModel<P>(val picture: P, val name: String, val problem: ModelProblem) : ClassifyState<P>
}

/** Classifies the pictures that the user chooses; a later one replaces one that is still being worked on. */
class Classify<P : PixelSource>(
    private val engine: Engine,
    private val selection: ModelSelection,
    private val scope: CoroutineScope,
) {
    private val states = MutableStateFlow<ClassifyState<P>>(nothing())
    val state: StateFlow<ClassifyState<P>> = states.asStateFlow()
    private var work: Job? = null
    private var picture: P? = null

    /** [decode] reads the picture, away from the main thread; it throws [PictureException]. */
    fun choose(decode: suspend () -> P) = start {
        picture = null // the earlier one is not asked about again while this one is read
        states.value = ClassifyState.Working(null)
        val chosen = try {
            decode()
        } catch (error: PictureException) {
            states.value = ClassifyState.BadPicture(error.problem)
            return@start
        }
        picture = chosen
        ask(chosen)
    }

    /** Asks the model that is selected now about the same picture. */
    fun again() {
        when (val same = picture) {
            null -> states.update { if (it is ClassifyState.Empty || it is ClassifyState.NoModel) nothing() else it }
            else -> start { ask(same) }
        }
    }

    private fun start(block: suspend () -> Unit) {
        work?.cancel()
        work = scope.launch { block() }
    }

    private suspend fun ask(picture: P) {
        val planned = selection.planned()
        if (planned == null) {
            states.value = ClassifyState.NoModel
            return
        }
        states.value = ClassifyState.Working(picture)
        states.value = try {
            val verdict = engine.verdict(planned, picture)
            selection.measured(planned.model, verdict.inferenceMs)
            ClassifyState.Answered(picture, verdict)
        } catch (error: ModelException) {
            ClassifyState.BadModel(picture, planned.model.name, error.problem)
        }
    }

    private fun nothing() = if (selection.selected == null) ClassifyState.NoModel else ClassifyState.Empty
}

/** What [planned] says of [picture]. */
suspend fun Engine.verdict(planned: Plan, picture: PixelSource): Verdict = use(planned.model, planned.options) { classifier ->
    val answer = classifier.classify(picture)
    val best = topK(answer.probabilities, classifier.info.labels, 5)
    Verdict(planned.model.name, best, answer.prepareMs, answer.inferenceMs, planned.options, planned.change)
}
