package org.vitconv.demo.core

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
        val reasons = buildList {
            if (images == 0) add("there are no golden images")
            if (unanswered > 0) add("gives NaN or infinity for $unanswered of $images images")
            if (agreement < limits.minAgreement) {
                add("agrees with Keras on ${percent(agreement)}, less than ${percent(limits.minAgreement)}")
            }
            if (largestError > limits.maxError) {
                add("is off by ${short(largestError)} in a probability, more than ${short(limits.maxError)}")
            }
        }
        return FileCheck(path, scheme, agreement, largestError, images, reasons.isEmpty(), reasons)
    }

    private fun percent(value: Double) = String.format(Locale.ROOT, "%.1f%%", 100 * value)

    private fun short(value: Double) = String.format(Locale.ROOT, "%.2g", value)
}
