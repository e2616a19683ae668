package org.vitconv.core

import kotlinx.serialization.Serializable
import java.util.Locale
import kotlin.math.abs

/** Collects one file's answers to the golden images and says whether it is as close to Keras as its scheme promises. */
class SelfTest(private val path: String, private val scheme: String, private val limits: Limits) {
    private var images = 0
    private var agreeing = 0
    private var unanswered = 0
    private var largestError = 0.0

    /** [actual] is the file's answer, [expected] Keras's. */
    fun add(actual: FloatArray, expected: List<Double>) {
        require(actual.size == expected.size) { "$path gives ${actual.size} classes, the golden images have ${expected.size}" }
        images++
        if (actual.any { !it.isFinite() }) {
            // Counts as answered wrong, with all probabilities 0; as in `vitconv verify`.
            unanswered++
            largestError = maxOf(largestError, expected.max())
            return
        }
        if (actual.indices.maxBy { actual[it] } == expected.indices.maxBy { expected[it] }) agreeing++
        largestError = maxOf(largestError, actual.indices.maxOf { abs(actual[it] - expected[it]) })
    }

    fun result(): FileCheck {
        val agreement = if (images == 0) 0.0 else agreeing.toDouble() / images
        val problems = buildList {
            if (images == 0) add(CheckProblem.NoImages)
            if (unanswered > 0) add(CheckProblem.NotFinite(unanswered, images))
            if (agreement < limits.minAgreement) add(CheckProblem.Agreement(agreement, limits.minAgreement))
            if (largestError > limits.maxError) add(CheckProblem.Error(largestError, limits.maxError))
        }
        return fileCheck(path, scheme, agreement, largestError, images, problems)
    }

    companion object {
        /** The result for a file that cannot even be run. */
        fun refused(path: String, scheme: String, problem: ModelProblem): FileCheck =
            fileCheck(path, scheme, 0.0, 1.0, 0, listOf(CheckProblem.Model(problem)))

        private fun fileCheck(
            path: String,
            scheme: String,
            agreement: Double,
            largestError: Double,
            images: Int,
            problems: List<CheckProblem>,
        ) = FileCheck(path, scheme, agreement, largestError, images, problems.isEmpty(), problems.map { it.message }, problems)
    }
}

/** Why a file fails the self-test. [message] is in English, for documents; the screens have their own words. */
@Serializable
sealed class CheckProblem(val message: String) {
    @Serializable
    data object NoImages : CheckProblem("there are no golden images")

    @Serializable
    data class NotFinite(val count: Int, val images: Int) :
        CheckProblem("gives NaN or infinity for $count of $images images")

    @Serializable
    data class Agreement(val fraction: Double, val limit: Double) :
        CheckProblem("agrees with Keras on ${percent(fraction)}, less than ${percent(limit)}")

    @Serializable
    data class Error(val error: Double, val limit: Double) :
        CheckProblem("is off by ${short(error)} in a probability, more than ${short(limit)}")

    @Serializable
    data class Model(val problem: ModelProblem) : CheckProblem(problem.message)

    companion object {
        private fun percent(value: Double) = String.format(Locale.ROOT, "%.1f%%", 100 * value)

        /** Two digits that tell something. */
        fun short(value: Double): String = String.format(Locale.ROOT, "%.2g", value)
    }
}
