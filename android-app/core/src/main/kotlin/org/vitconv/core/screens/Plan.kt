package org.vitconv.core.screens

import kotlinx.serialization.Serializable
import org.vitconv.core.Accelerator
import org.vitconv.core.RunOptions

/** What runs, and why that is not what was asked for. */
data class Plan(val model: ModelEntry, val options: RunOptions, val change: Change? = null) {
    @Serializable
    enum class Change {
        /** Another file of the same export runs, the one that is for the GPU. */
        GPU_FILE,

        /** The GPU refuses the file or computes it wrongly, so the processor runs it. */
        REFUSED_ON_GPU,
    }

    /** In English, for documents; null where nothing was changed. */
    fun note(asked: ModelEntry): String? = when (change) {
        null -> null
        Change.GPU_FILE -> "${model.name} runs on the GPU in the place of ${asked.name}"
        Change.REFUSED_ON_GPU -> {
            val reasons = asked.gpu?.reasons.orEmpty().joinToString("; ").ifEmpty { "it does not run right" }
            "${asked.name} ran on the CPU, because on the GPU $reasons"
        }
    }
}

/**
 * What to run where the user wants [asked] with [options]: on the GPU the file of the same export that is for it, if it
 * is among [models], and never a file that was refused there. A file of which nothing is known runs as it was asked.
 */
fun plan(asked: ModelEntry, options: RunOptions, models: List<ModelEntry>): Plan {
    if (options.accelerator != Accelerator.GPU) return Plan(asked, options)
    val forGpu = models.firstOrNull {
        it.isGpuFile && it.source == asked.source && it.source is ModelEntry.Source.Bundled && it.gpu?.fit != false
    }
    if (forGpu == null || forGpu == asked) return planOfFile(asked, options)
    return Plan(forGpu, options, Plan.Change.GPU_FILE)
}

/** The same where that very file is wanted and no other. */
fun planOfFile(asked: ModelEntry, options: RunOptions): Plan =
    if (options.accelerator == Accelerator.GPU && asked.gpu?.fit == false) {
        Plan(asked, options.copy(accelerator = Accelerator.XNNPACK), Plan.Change.REFUSED_ON_GPU)
    } else {
        Plan(asked, options)
    }
