package org.vitconv.core

import kotlin.math.abs
import kotlin.math.exp
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round

/**
 * Which parts of a picture an answer rests on: a square of it is covered with the picture's mean colour at a time, and
 * the class's probability looked at (Zeiler and Fergus, 2014). The same squares as those of `vitconv explain`.
 *
 * [drops], [PLACES] rows of [PLACES], say by how much the probability falls where the square covers that place; negative
 * where it rises. [probability] is that of the whole picture.
 */
class Occlusion(val probability: Double, val drops: DoubleArray, val image: ImageSpec) {
    /** Of each pixel of the model's picture, the mean over the squares that cover it, with the squares' edges smoothed. */
    val spread: DoubleArray = spreadOver(drops, image.height, image.width)

    /**
     * The map as rows of 0xAARRGGBB, not premultiplied, to lay over the model's picture: warm where a part speaks for
     * the class, cold where it speaks against it. The strongest part is drawn fully.
     */
    val overlay: IntArray = overlay(spread)

    companion object {
        /** Of the square along each side: the model answers this often squared, and once for the whole picture. */
        const val PLACES = 10
        private const val SHARE = 4 // the square's side is this part of the picture's
        private const val STRONGEST = 0.85
        private const val FOR = 0xE13C14
        private const val AGAINST = 0x1E5ADC

        /**
         * Of the class with that [index], whose probability [scores] makes of the classifier's. [progress] is told how
         * many of how many pictures were answered, and says whether to go on; where it says no, the result is null. An
         * answer that is NaN or infinite counts as 0.
         */
        fun of(
            classifier: Classifier,
            picture: PixelSource,
            index: Int,
            scores: (FloatArray) -> FloatArray = { it },
            progress: (Int, Int) -> Boolean,
        ): Occlusion? {
            val image = classifier.info.image
            val rgb = ByteArray(image.height * image.width * image.channels)
            Resampler(image).resample(picture, rgb)
            val whole = ArrayPixels.of(image, rgb).argb
            val colour = meanColour(rgb)
            val covered = IntArray(whole.size)
            val count = PLACES * PLACES + 1
            fun probability(pixels: IntArray): Double {
                val given = scores(classifier.classify(ArrayPixels(image.width, image.height, pixels)).probabilities)[index]
                return if (given.isFinite()) given.toDouble() else 0.0
            }
            if (!progress(0, count)) return null
            val probability = probability(whole)
            val drops = DoubleArray(PLACES * PLACES)
            val (rows, columns) = squares(image.height) to squares(image.width)
            for (place in drops.indices) {
                if (!progress(place + 1, count)) return null
                val across = columns[place % PLACES]
                whole.copyInto(covered)
                for (y in rows[place / PLACES]) covered.fill(colour, y * image.width + across.first, y * image.width + across.last + 1)
                drops[place] = probability - probability(covered)
            }
            progress(count, count)
            return Occlusion(probability, drops, image)
        }

        private fun spreadOver(drops: DoubleArray, height: Int, width: Int): DoubleArray {
            val total = DoubleArray(height * width)
            val count = IntArray(height * width)
            val columns = squares(width)
            for ((row, down) in squares(height).withIndex()) {
                for ((column, across) in columns.withIndex()) {
                    for (y in down) {
                        for (x in across) {
                            total[y * width + x] += drops[row * PLACES + column]
                            count[y * width + x]++
                        }
                    }
                }
            }
            for (index in total.indices) total[index] /= max(count[index], 1)
            smooth(total, height, width, width, 1)
            smooth(total, width, height, 1, width)
            return total
        }

        private fun overlay(spread: DoubleArray): IntArray {
            val largest = spread.maxOf { abs(it) }
            return IntArray(spread.size) {
                val strength = if (largest > 0) abs(spread[it]) / largest * STRONGEST else 0.0
                (round(strength * 255).toInt() shl 24) or (if (spread[it] > 0) FOR else AGAINST)
            }
        }

        private fun value(rgb: ByteArray, at: Int) = rgb[at].toInt() and 255

        private fun meanColour(rgb: ByteArray): Int {
            val sums = LongArray(3)
            for (at in rgb.indices) sums[at % 3] += value(rgb, at).toLong()
            return sums.fold(0xFF) { colour, sum -> (colour shl 8) or round(sum * 3.0 / rgb.size).toInt() }
        }

        /**
         * Along a side of that length, what each square covers: their middles go from one edge to the other, so that no
         * pixel is covered less often.
         */
        private fun squares(length: Int): List<IntRange> {
            val side = max(1, round(length / SHARE.toDouble()).toInt())
            return List(PLACES) {
                val start = round(it * (length.toDouble() / (PLACES - 1)) - side / 2.0).toInt()
                max(start, 0) until min(start + side, length)
            }
        }

        /** By a Gaussian of half a place's width along one axis of [count] lines of [length] values; edges go on. */
        private fun smooth(values: DoubleArray, count: Int, length: Int, line: Int, step: Int) {
            val deviation = length / PLACES.toDouble() / 2
            val reach = (4 * deviation + 0.5).toInt()
            val weights = DoubleArray(2 * reach + 1) { exp(-0.5 * ((it - reach) / deviation).let { far -> far * far }) }
            val sum = weights.sum()
            val before = DoubleArray(length)
            for (one in 0 until count) {
                for (at in 0 until length) before[at] = values[one * line + at * step]
                for (at in 0 until length) {
                    var mixed = 0.0
                    for (far in weights.indices) mixed += weights[far] * before[(at + far - reach).coerceIn(0, length - 1)]
                    values[one * line + at * step] = mixed / sum
                }
            }
        }
    }
}
