package org.vitconv.core

import kotlinx.serialization.Serializable

/** What runs a model's nodes. */
enum class Accelerator(val id: String) {
    /** TFLite's own kernels. */
    CPU("cpu"),
    XNNPACK("xnnpack"),
    GPU("gpu"),
    NNAPI("nnapi"),
    ;

    companion object {
        fun ofId(id: String): Accelerator? = entries.firstOrNull { it.id == id }
    }
}

/** How to run a model. */
@Serializable
data class RunOptions(val threads: Int = 1, val accelerator: Accelerator = Accelerator.XNNPACK) {
    init {
        require(threads in 1..MOST_THREADS) { "threads must be 1 to $MOST_THREADS, not $threads" }
    }

    companion object {
        const val MOST_THREADS = 64
    }
}

/**
 * How much of a model's graph a delegate took: [delegatedNodes] of [nodes] operations, in a graph that fell into
 * [partitions] parts. What the runtime doesn't tell is null.
 */
data class Delegation(val nodes: Int, val delegatedNodes: Int?, val partitions: Int?)

/** The answer to one picture; the array belongs to the classifier and is filled anew by its next call. */
class Answer(val probabilities: FloatArray) {
    /** Bringing the picture to the model's size. */
    var prepareMs = 0.0

    /** The model itself. */
    var inferenceMs = 0.0
}

/** A model ready to run. To be used, and closed, on the thread that made it. */
interface Classifier : AutoCloseable {
    val info: ModelInfo

    /** Reading the file, building the interpreter and applying the delegate. */
    val loadMs: Double
    val delegation: Delegation

    /** What the model was given last, height × width × 3 bytes of RGB; filled anew by the next [classify]. */
    val pixels: ByteArray

    /** Answers for a picture of any size. No memory is allocated for it, but when its size changes. */
    fun classify(picture: PixelSource): Answer

    /** Runs the model once more on what it was given last, and returns the milliseconds that took. */
    fun run(): Double
}
