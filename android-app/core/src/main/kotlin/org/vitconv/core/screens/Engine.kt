package org.vitconv.core.screens

import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.withContext
import org.vitconv.core.Classifier
import org.vitconv.core.GpuCheck
import org.vitconv.core.RunOptions

/**
 * A model that the app knows: bundled with it, or a file that the user opened. Two of the same name and size are the
 * same model only if their content is the same.
 */
data class ModelEntry(
    /** What the user sees, and what names it in documents: a file's name. */
    val name: String,
    val scheme: String?,
    val bytes: Long,
    val source: Source,
    /** Of the content; empty where an older export doesn't say. */
    val sha256: String = "",
    /** Null where nobody looked what GPUs do with it. */
    val gpu: GpuCheck? = null,
    /** Of its export folder's files the one to run on the GPU. */
    val isGpuFile: Boolean = false,
) {
    sealed interface Source {
        /** A file in the export folder [folder] of the app's assets. */
        data class Bundled(val folder: String) : Source

        /** A copy in the app's own storage. */
        data object Opened : Source
    }
}

/** Makes classifiers. Throws [org.vitconv.core.ModelException] for a file that is none. */
fun interface ClassifierLoader {
    fun load(model: ModelEntry, options: RunOptions): Classifier
}

/**
 * Runs classifiers, all on one thread, because interpreters are bound to theirs; and keeps the one that was used last,
 * because making one takes far longer than running it.
 *
 * [dispatcher] must have one thread and always the same.
 */
class Engine(private val loader: ClassifierLoader, private val dispatcher: CoroutineDispatcher) {
    private data class Key(val model: ModelEntry, val options: RunOptions)

    private var current: Pair<Key, Classifier>? = null

    /** Calls [block] with a classifier that is not to be kept. */
    suspend fun <T> use(model: ModelEntry, options: RunOptions = RunOptions(), block: (Classifier) -> T): T =
        withContext(dispatcher) {
            val key = Key(model, options)
            val kept = current?.takeIf { it.first == key }?.second
            block(kept ?: load(key))
        }

    /** Calls [block] where models run, so that the main thread doesn't wait for it. */
    suspend fun <T> aside(block: () -> T): T = withContext(dispatcher) { block() }

    /**
     * Calls [block] on the engine's thread with what loads classifiers, which it has to close. The one that is kept is
     * let go first: a measurement should be alone.
     */
    suspend fun <T> exclusively(block: suspend (ClassifierLoader) -> T): T = withContext(dispatcher) {
        forget()
        block(loader)
    }

    private fun load(key: Key): Classifier {
        forget()
        return loader.load(key.model, key.options).also { current = key to it }
    }

    private fun forget() {
        current?.second?.close()
        current = null
    }
}
