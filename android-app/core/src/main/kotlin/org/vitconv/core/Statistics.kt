package org.vitconv.core

import kotlin.math.floor
import kotlin.math.sqrt

/** Latencies of one model; in the same terms, and by the same formulas, as `vitconv benchmark`. */
class Statistics(samples: DoubleArray) {
    private val ordered = samples.sortedArray()

    init {
        require(samples.isNotEmpty()) { "there is nothing to sum up" }
    }

    val count get() = ordered.size
    val mean = ordered.average()
    val min = ordered.first()

    /** Interpolates linearly between samples, as numpy.percentile does unless told otherwise. */
    fun percentile(percent: Double): Double {
        val at = percent / 100 * (count - 1)
        val below = floor(at).toInt()
        val above = minOf(below + 1, count - 1)
        return ordered[below] + (at - below) * (ordered[above] - ordered[below])
    }

    /**
     * Two samples that enclose the true median with at least 95 % confidence, whatever the distribution; with fewer
     * than six merely the extremes. How many samples are below the median is Binomial(n, ½); its normal approximation
     * says which ones enclose it.
     */
    fun medianInterval(): Pair<Double, Double> {
        val k = maxOf(1, ((count - 1.96 * sqrt(count.toDouble())) / 2).toInt())
        return ordered[k - 1] to ordered[count - k]
    }
}
