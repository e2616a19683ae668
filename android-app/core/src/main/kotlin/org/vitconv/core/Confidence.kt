package org.vitconv.core

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlin.math.exp
import kotlin.math.ln
import kotlin.math.max

/**
 * How sure a file's answers are, as `vitconv export --confidence` wrote it into the file. Nothing applies it unless it is
 * asked to.
 */
@Serializable
data class Confidence(
    /** Probabilities become pᵢ^(1/T) / Σ pⱼ^(1/T), the softmax of the logits divided by T. */
    val temperature: Double,
    /** What a probability counts as at least: a file that rounds gives 0 for what may have been more. */
    val floor: Double,
    val thresholds: List<Threshold> = emptyList(),
) {
    /**
     * Answers of at least [least] confidence are wrong in at most [errorRate] of all cases, shown on validation images
     * with 95 % certainty; null where these were too few to show it of any.
     */
    @Serializable
    data class Threshold(@SerialName("error_rate") val errorRate: Double, val least: Double?)

    init {
        require(temperature > 0 && temperature <= 1000) { "a temperature of $temperature" }
        require(floor > 0 && floor < 1) { "a least probability of $floor" }
        require(thresholds.all { it.errorRate in 0.0..1.0 && (it.least ?: 0.0) in 0.0..1.0 }) { "a threshold outside of 0 to 1" }
    }

    /** The error rates that it can promise, the strictest first. */
    val errorRates: List<Double> get() = thresholds.filter { it.least != null }.map { it.errorRate }.sorted()

    /** A file's [probabilities] with the temperature, of sum 1; NaN where one of them is. */
    fun apply(probabilities: FloatArray): FloatArray {
        val logs = DoubleArray(probabilities.size) { ln(max(probabilities[it].toDouble(), floor)) / temperature }
        val largest = logs.fold(Double.NEGATIVE_INFINITY, ::max)
        val raised = DoubleArray(logs.size) { exp(logs[it] - largest) }
        val sum = raised.sum()
        return FloatArray(raised.size) { (raised[it] / sum).toFloat() }
    }

    /** What an answer must reach, for the loosest rate that is at most [errorRate]; null where none can be promised. */
    fun least(errorRate: Double): Double? =
        thresholds.filter { it.least != null && it.errorRate <= errorRate + 1e-9 }.maxByOrNull { it.errorRate }?.least
}
