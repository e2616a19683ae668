package org.vitconv.core.screens

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.isActive
import kotlinx.coroutines.launch
import org.vitconv.core.ArrayPixels
import org.vitconv.core.Box
import org.vitconv.core.Classifier
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem
import org.vitconv.core.Occlusion
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
    /** The error rates that the model can promise, the strictest first; empty where its file says nothing of them. */
    val errorRates: List<Double> = emptyList(),
    /** The scores are those with the file's temperature, because an error rate was asked for. */
    val hasTemperature: Boolean = false,
    /** It is too unsure for the error rate that was asked for, so [best] is no answer. */
    val isNoneOfThese: Boolean = false,
    /** What the model was given; null where nobody wants to see it. */
    val seen: Seen? = null,
)

/** The [pixels] that a model was given of a picture. [isPart] where something was cut off from it. */
class Seen(val pixels: PixelSource, val isPart: Boolean) {
    companion object {
        /** What [classifier] was given last, of [picture]. */
        fun of(classifier: Classifier, picture: PixelSource): Seen {
            val image = classifier.info.image
            val whole = Box(0f, 0f, picture.width.toFloat(), picture.height.toFloat())
            return Seen(ArrayPixels.of(image, classifier.pixels), image.sourceBox(picture.width, picture.height) != whole)
        }
    }
}

/** What the best class of a picture rests on. */
sealed interface Reasons {
    /** So many of the covered pictures were answered. */
    data class Looking(val done: Int, val count: Int) : Reasons

    data class Found(val map: Occlusion) : Reasons
}

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

    /** [reasons] where they were asked for. */
    data class Answered<P>(val picture: P, val verdict: Verdict, val reasons: Reasons? = null) : ClassifyState<P>

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

    /** What is asked about it, or was answered. */
    private var asked: Question? = null

    private data class Question(val plan: Plan, val errorRate: Double?)

    /** [decode] reads the picture, away from the main thread; it throws [PictureException]. */
    fun choose(decode: suspend () -> P) = start {
        asked = null
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

    /** Asks the model that is selected now about the same picture, unless it was asked that already. */
    fun again() {
        val same = picture
        when {
            same == null -> states.update { if (it is ClassifyState.Empty || it is ClassifyState.NoModel) nothing() else it }
            asked == null || asked != question() -> start { ask(same) }
        }
    }

    /** Looks for what the answer on the screen rests on, by covering the picture part by part. */
    fun explain() {
        val answered = states.value as? ClassifyState.Answered ?: return
        val best = answered.verdict.best.firstOrNull() ?: return
        start {
            val planned = selection.planned()?.takeIf { it.model.name == answered.verdict.model } ?: return@start
            val job = currentCoroutineContext()
            states.value = try {
                val map = engine.use(planned.model, planned.options) { classifier ->
                    val scores = classifier.info.confidence.takeIf { answered.verdict.hasTemperature }
                    Occlusion.of(classifier, answered.picture, best.index, { scores?.apply(it) ?: it }) { done, count ->
                        states.update { if (job.isActive) answered.copy(reasons = Reasons.Looking(done, count)) else it }
                        job.isActive
                    }
                } ?: return@start
                answered.copy(reasons = Reasons.Found(map))
            } catch (error: ModelException) {
                asked = null
                ClassifyState.BadModel(answered.picture, planned.model.name, error.problem)
            }
        }
    }

    /** The picture is shown without its map again; one that is being made is given up. */
    fun forgetReasons() {
        val answered = states.value as? ClassifyState.Answered ?: return
        work?.cancel()
        states.value = answered.copy(reasons = null)
    }

    private fun question() = selection.planned()?.let { Question(it, selection.errorRate) }

    private fun start(block: suspend () -> Unit) {
        work?.cancel()
        work = scope.launch { block() }
    }

    private suspend fun ask(picture: P) {
        val question = question()
        asked = question
        if (question == null) {
            states.value = ClassifyState.NoModel
            return
        }
        val planned = question.plan
        states.value = ClassifyState.Working(picture)
        states.value = try {
            val verdict = engine.verdict(planned, picture, question.errorRate, seen = true)
            selection.measured(planned.model, verdict.inferenceMs)
            ClassifyState.Answered(picture, verdict)
        } catch (error: ModelException) {
            asked = null // it may be another file the next time
            ClassifyState.BadModel(picture, planned.model.name, error.problem)
        }
    }

    private fun nothing() = if (selection.selected == null) ClassifyState.NoModel else ClassifyState.Empty
}

/**
 * What [planned] says of [picture]. With an [errorRate], and where the model's file says what that takes, its scores are
 * those with the file's temperature. With [seen], what the model was given as well.
 */
suspend fun Engine.verdict(planned: Plan, picture: PixelSource, errorRate: Double? = null, seen: Boolean = false): Verdict =
    use(planned.model, planned.options) { classifier ->
        val answer = classifier.classify(picture)
        val confidence = classifier.info.confidence
        val least = errorRate?.let { confidence?.least(it) }
        val scores = if (least == null) answer.probabilities else confidence!!.apply(answer.probabilities)
        val best = topK(scores, classifier.info.labels, 5)
        Verdict(
            planned.model.name,
            best,
            answer.prepareMs,
            answer.inferenceMs,
            planned.options,
            planned.change,
            confidence?.errorRates.orEmpty(),
            hasTemperature = least != null,
            isNoneOfThese = least != null && !(best.first().probability >= least),
            seen = if (seen) Seen.of(classifier, picture) else null,
        )
    }
