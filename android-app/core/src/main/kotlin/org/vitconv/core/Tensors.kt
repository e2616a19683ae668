package org.vitconv.core

import java.nio.Buffer
import java.nio.ByteBuffer

/** As `rewind()`, which the oldest Android knows of a Buffer and not yet of a ByteBuffer. */
fun Buffer.toStart() {
    rewind()
}

/** The element types that a classifier's input and output can have. */
enum class TensorType(val bytes: Int, val smallest: Int, val largest: Int) {
    FLOAT32(4, 0, 0),
    UINT8(1, 0, 255),
    INT8(1, -128, 127),
    ;

    /** As the converter's documents write it: `float32`. */
    val label: String get() = name.lowercase()
}

/** real = [scale] · (stored − [zeroPoint]) */
data class Quantization(val scale: Float, val zeroPoint: Int)

/** A model's input or output. [quantization] is there for integers, and only for them. */
data class TensorSpec(val shape: List<Int>, val type: TensorType, val quantization: Quantization?) {
    val elements: Int get() = shape.fold(1, Int::times)
    val bytes: Int get() = elements * type.bytes
}

/** What a model computes with: (pixel − [mean]) / [deviation], one value for each channel or one for all. */
data class Normalization(val mean: List<Float>, val deviation: List<Float>) {
    companion object {
        /** Pixels as they are. */
        val NONE = Normalization(listOf(0f), listOf(1f))
    }
}

/**
 * Pixels 0–255 → a model's input; every value that a pixel can have is computed once. The rule is the converter's
 * (vitconv/runtimes/classification.py), where its reasons are:
 *
 * - float32: (pixel − mean) / deviation
 * - int8: the same, divided by the scale, rounded, plus the zero point; pixel − 128 where the file has no normalization
 * - uint8: the pixel itself, whatever scale and normalization say
 */
class InputWriter(private val spec: TensorSpec, normalization: Normalization?) {
    private val real = Array(CHANNELS) { channel ->
        val (means, deviations) = normalization ?: Normalization.NONE
        FloatArray(256) { pixel -> (pixel - means.forChannel(channel)) / deviations.forChannel(channel) }
    }
    private val stored = when (spec.type) {
        TensorType.FLOAT32 -> null
        TensorType.UINT8 -> integers { _, pixel -> pixel }
        TensorType.INT8 ->
            if (normalization == null) {
                integers { _, pixel -> pixel - 128 }
            } else {
                val (scale, zeroPoint) = spec.quantization ?: Quantization(1f, 0)
                integers { channel, pixel -> Math.rint((real[channel][pixel] / scale).toDouble()).toInt() + zeroPoint }
            }
    }

    init {
        val distinct = stored?.flatMap { it.asIterable() }?.toSet()?.size ?: 256
        if (distinct < FEWEST_STEPS) {
            throw ModelException(ModelProblem.WrongNormalization)
        }
    }

    private fun integers(value: (channel: Int, pixel: Int) -> Int) = Array(CHANNELS) { channel ->
        ByteArray(256) { pixel -> value(channel, pixel).coerceIn(spec.type.smallest, spec.type.largest).toByte() }
    }

    /** Fills [into], of the input's size and the machine's byte order, from its start. */
    fun write(rgb: ByteArray, into: ByteBuffer) {
        into.toStart()
        var channel = 0
        for (byte in rgb) {
            val pixel = byte.toInt() and 255
            if (stored != null) into.put(stored[channel][pixel]) else into.putFloat(real[channel][pixel])
            channel = if (channel == CHANNELS - 1) 0 else channel + 1
        }
        into.toStart()
    }

    private companion object {
        const val CHANNELS = 3
        const val FEWEST_STEPS = 32

        fun List<Float>.forChannel(channel: Int) = if (size == 1) first() else this[channel]
    }
}

/** A model's output → probabilities. */
class OutputReader(private val spec: TensorSpec) {
    /** Reads [from], of the output's size and the machine's byte order, into [probabilities]. */
    fun read(from: ByteBuffer, probabilities: FloatArray) {
        from.toStart()
        val quantization = spec.quantization
        for (index in probabilities.indices) {
            probabilities[index] = when (spec.type) {
                TensorType.FLOAT32 -> from.getFloat()
                TensorType.UINT8 -> quantization.real(from.get().toInt() and 255)
                TensorType.INT8 -> quantization.real(from.get().toInt())
            }
        }
    }

    private fun Quantization?.real(value: Int): Float = if (this == null) value.toFloat() else scale * (value - zeroPoint)
}
