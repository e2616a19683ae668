package org.vitconv.core.screens

import kotlinx.serialization.Serializable
import org.vitconv.core.Accelerator
import org.vitconv.core.Documents
import org.vitconv.core.RunOptions
import org.vitconv.core.TaskRequest
import org.vitconv.core.readOrNull

/** What the user chose, as it is kept while the app is not running. It may name what is no longer there. */
@Serializable
data class Choices(
    val model: String? = null,
    /** The export folder that the model is of; null of one that the user opened. */
    val folder: String? = null,
    val threads: Int = 1,
    val accelerator: String = Accelerator.XNNPACK.id,
    /** Of a benchmark. */
    val runs: Int = TaskRequest.DEFAULT_RUNS,
    /** See [Models.errorRate]. */
    val errorRate: Double? = null,
) {
    /** A newer file of the same name in the same place is what the user means, too. */
    fun modelAmong(entries: List<ModelEntry>): ModelEntry? = entries.firstOrNull { it.name == model && it.folder == folder }

    /** How to run models; as if nothing was chosen where the device can no longer do that. */
    fun options(available: List<Accelerator>): RunOptions {
        val chosen = available.firstOrNull { it.id == accelerator } ?: return RunOptions()
        return RunOptions(threads.coerceIn(1, RunOptions.MOST_THREADS), chosen)
    }

    override fun toString(): String = Documents.encodeToString(serializer(), this)

    companion object {
        fun of(models: Models) = Choices(
            models.selected?.name,
            models.selected?.folder,
            models.options.threads,
            models.options.accelerator.id,
            models.runs,
            models.errorRate,
        )

        /** What [toString] wrote; nothing is chosen where that is gone, damaged or of a version that wrote otherwise. */
        fun read(text: String?): Choices = text?.let { readOrNull(serializer(), it) } ?: Choices()

        private val ModelEntry.folder get() = (source as? ModelEntry.Source.Bundled)?.folder
    }
}
