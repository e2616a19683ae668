package org.vitconv.demo.core

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

/** Pixels 0–255 → a model's input; every value that a pixel can have is computed once. */
class InputWriter(private val spec: TensorSpec, normalization: Normalization) {
    private val real = Array(CHANNELS) { channel ->
        val mean = normalization.mean.forChannel(channel)
        val deviation = normalization.deviation.forChannel(channel)
        FloatArray(256) { pixel -> (pixel - mean) / deviation }
    }
    private val stored = spec.quantization?.let { quantization ->
        Array(CHANNELS) { channel ->
            ByteArray(256) { pixel ->
                val steps = Math.rint((real[channel][pixel] / quantization.scale).toDouble()).toInt()
                (steps + quantization.zeroPoint).coerceIn(spec.type.smallest, spec.type.largest).toByte()
            }
        }
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
