package org.vitconv.core.screens

import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem
import org.vitconv.core.PixelSource

/** State of the live camera's screen. */
sealed interface LiveState {
    /** The camera may not be used yet. */
    data object NeedsPermission : LiveState

    /** The user said no, and Android won't ask again. */
    data object Denied : LiveState

    data object NoModel : LiveState

    data object Starting : LiveState

    data class Running(val verdict: Verdict, val framesPerSecond: Double) : LiveState

    data object NoCamera : LiveState

    data class BadModel(val name: String, val problem: ModelProblem) : LiveState
}

/** Classifies the frames of a camera. */
class Live(
    private val engine: Engine,
    private val selection: ModelSelection,
    private val nanoTime: () -> Long = System::nanoTime,
) {
    private val states = MutableStateFlow<LiveState>(LiveState.Starting)
    val state: StateFlow<LiveState> = states.asStateFlow()
    private val rate = FrameRate()

    fun permission(granted: Boolean, mayAsk: Boolean) {
        states.value = when {
            !granted -> if (mayAsk) LiveState.NeedsPermission else LiveState.Denied
            selection.selected == null -> LiveState.NoModel
            else -> LiveState.Starting
        }
        rate.reset()
    }

    fun noCamera() {
        states.value = LiveState.NoCamera
    }

    /** Classifies one frame; the caller drops those that come meanwhile. */
    suspend fun frame(pixels: PixelSource) {
        val planned = selection.planned() ?: return
        states.value = try {
            val verdict = engine.verdict(planned, pixels, selection.errorRate)
            selection.measured(planned.model, verdict.inferenceMs)
            LiveState.Running(verdict, rate.tick(nanoTime()))
        } catch (error: ModelException) {
            LiveState.BadModel(planned.model.name, error.problem)
        }
    }
}

/** Frames per second over the last ones. */
class FrameRate {
    private val times = LongArray(WINDOW)
    private var count = 0

    fun reset() {
        count = 0
    }

    /** A frame was done at [nanoTime]; 0 for the first one. */
    fun tick(nanoTime: Long): Double {
        val oldest = if (count < WINDOW) times[0] else times[count % WINDOW]
        val intervals = minOf(count, WINDOW)
        times[count % WINDOW] = nanoTime
        count++
        return if (intervals == 0 || nanoTime <= oldest) 0.0 else intervals * 1e9 / (nanoTime - oldest)
    }

    private companion object {
        const val WINDOW = 15
    }
}
