package org.vitconv.core

import kotlin.math.ceil

/**
 * Brings a picture to a model's size as training and the converter's Python do: by Pillow's antialiased bilinear
 * filter, whose triangle grows with the scale, in fixed point with 22 bits after the point, first along rows, then
 * along columns, rounded to 8 bits between the two. Transparency is laid over black.
 *
 * Keeps its buffers from one picture to the next of the same size. Not for several threads at once.
 */
class Resampler(private val spec: ImageSpec) {
    private var sourceWidth = -1
    private var sourceHeight = -1
    private var horizontal: Coefficients? = null
    private var vertical: Coefficients? = null
    private var row = IntArray(0)
    private var firstRow = 0
    private var lines = ByteArray(0)

    /** Writes [source] into [rgb], [ImageSpec.height] × [ImageSpec.width] × 3 bytes, each 0–255. */
    fun resample(source: PixelSource, rgb: ByteArray) {
        require(source.width > 0 && source.height > 0) { "a picture without pixels" }
        require(rgb.size == spec.height * spec.width * CHANNELS) {
            "${rgb.size} bytes are not ${spec.height} × ${spec.width} × 3"
        }
        prepare(source.width, source.height)
        val lineBytes = spec.width * CHANNELS
        for (line in 0 until lines.size / lineBytes) {
            source.readRow(firstRow + line, row)
            layOverBlack(row, source.width)
            horizontal?.alongRow(row, lines, line * lineBytes) ?: unpack(row, lines, line * lineBytes)
        }
        vertical?.alongColumns(lines, lineBytes, rgb) ?: lines.copyInto(rgb)
    }

    private fun prepare(width: Int, height: Int) {
        if (width == sourceWidth && height == sourceHeight) return
        val box = spec.sourceBox(width, height)
        horizontal = Coefficients.orNone(width, box.left, box.right, spec.width)
        vertical = Coefficients.orNone(height, box.top, box.bottom, spec.height)
        // Only the rows that the second pass will look at.
        firstRow = vertical?.first(0) ?: 0
        val lastRow = vertical?.run { first(spec.height - 1) + count(spec.height - 1) } ?: spec.height
        vertical?.shift(firstRow)
        lines = ByteArray((lastRow - firstRow) * spec.width * CHANNELS)
        row = IntArray(width)
        sourceWidth = width
        sourceHeight = height
    }

    private fun unpack(row: IntArray, into: ByteArray, start: Int) {
        var at = start
        for (x in 0 until spec.width) {
            val pixel = row[x]
            into[at++] = (pixel shr 16).toByte()
            into[at++] = (pixel shr 8).toByte()
            into[at++] = pixel.toByte()
        }
    }

    private companion object {
        const val CHANNELS = 3

        fun layOverBlack(row: IntArray, width: Int) {
            for (x in 0 until width) {
                val pixel = row[x]
                val alpha = pixel ushr 24
                if (alpha != 255) {
                    row[x] = (255 shl 24) or
                        (scaled(pixel shr 16 and 255, alpha) shl 16) or
                        (scaled(pixel shr 8 and 255, alpha) shl 8) or
                        scaled(pixel and 255, alpha)
                }
            }
        }

        /** value · alpha / 255, rounded. */
        fun scaled(value: Int, alpha: Int): Int = (value * alpha + 127) / 255
    }
}

/** For every output pixel along one side: where its input pixels begin, how many they are, and their weights. */
private class Coefficients(private val firsts: IntArray, private val counts: IntArray, private val weights: IntArray) {
    private val most = weights.size / firsts.size

    fun first(output: Int) = firsts[output]

    fun count(output: Int) = counts[output]

    /** Input is numbered from [start] from now on. */
    fun shift(start: Int) {
        for (output in firsts.indices) firsts[output] -= start
    }

    /** One row of ARGB pixels → RGB bytes. */
    fun alongRow(row: IntArray, into: ByteArray, start: Int) {
        var at = start
        for (output in firsts.indices) {
            var red = HALF
            var green = HALF
            var blue = HALF
            val first = firsts[output]
            val weightsAt = output * most
            for (i in 0 until counts[output]) {
                val pixel = row[first + i]
                val weight = weights[weightsAt + i]
                red += (pixel shr 16 and 255) * weight
                green += (pixel shr 8 and 255) * weight
                blue += (pixel and 255) * weight
            }
            into[at++] = toByte(red)
            into[at++] = toByte(green)
            into[at++] = toByte(blue)
        }
    }

    /** Lines of [lineBytes] bytes → as many lines as there are outputs. */
    fun alongColumns(lines: ByteArray, lineBytes: Int, into: ByteArray) {
        for (output in firsts.indices) {
            val from = firsts[output] * lineBytes
            val weightsAt = output * most
            val count = counts[output]
            val to = output * lineBytes
            for (column in 0 until lineBytes) {
                var sum = HALF
                var at = from + column
                for (i in 0 until count) {
                    sum += (lines[at].toInt() and 255) * weights[weightsAt + i]
                    at += lineBytes
                }
                into[to + column] = toByte(sum)
            }
        }
    }

    companion object {
        private const val PRECISION_BITS = 32 - 8 - 2
        private const val HALF = 1 shl (PRECISION_BITS - 1)

        private fun toByte(sum: Int): Byte = (sum shr PRECISION_BITS).coerceIn(0, 255).toByte()

        /** None where the pass would leave every pixel as it is. */
        fun orNone(size: Int, start: Float, end: Float, outputs: Int): Coefficients? =
            if (outputs == size && start == 0f && end == size.toFloat()) null else of(size, start, end, outputs)

        private fun of(size: Int, start: Float, end: Float, outputs: Int): Coefficients {
            val scale = (end - start).toDouble() / outputs
            // The triangle reaches one output pixel to either side, and never less than one input pixel.
            val support = maxOf(scale, 1.0)
            val most = ceil(support).toInt() * 2 + 1
            val firsts = IntArray(outputs)
            val counts = IntArray(outputs)
            val weights = IntArray(outputs * most)
            val exact = DoubleArray(most)
            val steepness = 1 / support
            for (output in 0 until outputs) {
                val center = start + (output + 0.5) * scale
                val first = maxOf((center - support + 0.5).toInt(), 0)
                val count = minOf((center + support + 0.5).toInt(), size) - first
                for (i in 0 until count) exact[i] = triangle((i + first - center + 0.5) * steepness)
                val total = (0 until count).sumOf { exact[it] }
                for (i in 0 until count) {
                    weights[output * most + i] = (0.5 + exact[i] / total * (1 shl PRECISION_BITS)).toInt()
                }
                firsts[output] = first
                counts[output] = count
            }
            return Coefficients(firsts, counts, weights)
        }

        private fun triangle(distance: Double): Double = maxOf(0.0, 1 - Math.abs(distance))
    }
}
