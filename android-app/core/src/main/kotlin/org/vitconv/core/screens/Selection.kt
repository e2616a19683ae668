package org.vitconv.core.screens

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.update
import org.vitconv.core.Accelerator
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem
import org.vitconv.core.RunOptions
import org.vitconv.core.TaskRequest

/** The models there are, the one in use, how it is run, and how fast each was when it was last used like this. */
data class Models(
    val entries: List<ModelEntry> = emptyList(),
    val selected: ModelEntry? = null,
    /** Milliseconds of the last inference. */
    val speeds: Map<ModelEntry, Double> = emptyMap(),
    val options: RunOptions = RunOptions(),
    /** Of the answers that are given at most so many may be wrong, 0–1; null gives every answer. */
    val errorRate: Double? = null,
    /** How often a benchmark runs one. */
    val runs: Int = TaskRequest.DEFAULT_RUNS,
)

/** State of the screen of models. */
sealed interface ModelsState {
    val models: Models

    data class Ready(override val models: Models) : ModelsState

    /** A file is being read and tried. */
    data class Opening(override val models: Models, val name: String) : ModelsState

    /** The file [name] that the user opened is no model for this app. */
    data class Refused(override val models: Models, val name: String, val problem: ModelProblem) : ModelsState
}

/** Which of the [models] all screens use. */
class ModelSelection(
    models: List<ModelEntry>,
    private val engine: Engine,
    choices: Choices = Choices(),
    available: List<Accelerator> = Accelerator.entries,
) {
    private val states = MutableStateFlow<ModelsState>(ModelsState.Ready(first(models, choices, available)))
    val state: StateFlow<ModelsState> = states.asStateFlow()
    val selected: ModelEntry? get() = states.value.models.selected
    val errorRate: Double? get() = states.value.models.errorRate

    /** What the user chose, whenever that changes. */
    val choices: Flow<Choices> = states.map { Choices.of(it.models) }.distinctUntilChanged()

    /** What answers now, and how it is run; null without a model. */
    fun planned(): Plan? = states.value.models.run { selected?.let { plan(it, options, entries) } }

    fun select(model: ModelEntry) = become { copy(selected = model) }

    /** How models are run from now on. */
    fun runWith(options: RunOptions) = states.update {
        it.with(if (options == it.models.options) it.models else it.models.copy(options = options, speeds = emptyMap()))
    }

    /** From now on "none of these" is said where a model can't promise at most this [errorRate]; null: never. */
    fun answerWithin(errorRate: Double?) = states.update { it.with(it.models.copy(errorRate = errorRate)) }

    /** A benchmark runs a model so many times from now on. */
    fun timeIn(runs: Int) = states.update { it.with(it.models.copy(runs = runs)) }

    fun measured(model: ModelEntry, inferenceMs: Double) =
        states.update { it.with(it.models.copy(speeds = it.models.speeds + (model to inferenceMs))) }

    /**
     * Takes in a file named [name]: [import] copies it and says what it became. It is tried before it is listed, and
     * then takes the place of one of the same name; one that cannot be used leaves the list as it was. [forget] removes
     * the copy of what is not listed, or no longer.
     */
    suspend fun open(name: String, forget: suspend (ModelEntry) -> Unit = {}, import: suspend () -> ModelEntry) {
        states.update { ModelsState.Opening(it.models, name) }
        try {
            val entry = import().knownFrom(states.value.models.entries)
            try {
                engine.use(entry) {}
            } catch (error: ModelException) {
                if (entry !in states.value.models.entries) forget(entry)
                throw error
            }
            val (replaced, others) =
                states.value.models.entries.partition { it.name == entry.name && it.source == entry.source }
            become { copy(entries = others + entry, selected = entry) }
            (replaced - entry).forEach { forget(it) }
        } catch (error: ModelException) {
            states.update { ModelsState.Refused(it.models, name, error.problem) }
        }
    }

    /** The user has read why a file was refused. */
    fun acknowledge() = states.update { if (it is ModelsState.Refused) ModelsState.Ready(it.models) else it }

    private fun become(change: Models.() -> Models) = states.update { ModelsState.Ready(it.models.change()) }

    private fun ModelsState.with(models: Models): ModelsState = when (this) {
        is ModelsState.Ready -> copy(models = models)
        is ModelsState.Opening -> copy(models = models)
        is ModelsState.Refused -> copy(models = models)
    }

    private companion object {
        fun first(models: List<ModelEntry>, choices: Choices, available: List<Accelerator>): Models {
            val entries = models.map { it.knownFrom(models) }
            val selected = choices.modelAmong(entries) ?: entries.defaultModel()
            val rate = choices.errorRate?.takeIf { it > 0 && it < 1 }
            return Models(entries, selected, options = choices.options(available), errorRate = rate, runs = maxOf(1, choices.runs))
        }

        /** A file that the user opened may be one that is bundled as well. */
        fun ModelEntry.knownFrom(models: List<ModelEntry>): ModelEntry {
            if (source != ModelEntry.Source.Opened || sha256.isEmpty()) return this
            return copy(gpu = models.firstOrNull { it.sha256 == sha256 && it.gpu != null }?.gpu)
        }

        /** Integers run well on every phone; otherwise whatever comes first. */
        fun List<ModelEntry>.defaultModel() = firstOrNull { it.scheme == "int8" } ?: firstOrNull()
    }
}
