package org.vitconv.core

/** One of the best classes. */
data class Ranked(val index: Int, val label: String, val probability: Float)

/**
 * The [count] most probable classes, best first; of equal ones the first. NaN counts as less than everything.
 *
 * One pass with insertion: [count] is small.
 */
fun topK(probabilities: FloatArray, labels: List<String>, count: Int): List<Ranked> {
    val best = IntArray(minOf(count, probabilities.size))
    var found = 0
    for (index in probabilities.indices) {
        var place = found
        while (place > 0 && isBetter(probabilities[index], probabilities[best[place - 1]])) place--
        if (place == best.size) continue
        if (found < best.size) found++
        best.copyInto(best, place + 1, place, found - 1)
        best[place] = index
    }
    return best.map { Ranked(it, labels[it], probabilities[it]) }
}

private fun isBetter(a: Float, b: Float) = a > b || (b.isNaN() && !a.isNaN())
