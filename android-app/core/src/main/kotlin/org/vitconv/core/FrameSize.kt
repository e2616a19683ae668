package org.vitconv.core

import kotlin.math.abs

/** A size that a camera streams in; it is as the sensor lies, so mostly wider than high. */
data class FrameSize(val width: Int, val height: Int) {
    val pixels get() = width.toLong() * height
}

/** What to classify of what a camera offers: enough for every model here, and quick to convert. Null of nothing. */
fun analysisSize(offered: List<FrameSize>): FrameSize? =
    offered.filter { it.pixels <= 640 * 480 }.maxByOrNull { it.pixels } ?: offered.minByOrNull { it.pixels }

/**
 * What to show beside frames of [analysis]: the largest of their shape that every camera can stream at the same time,
 * which is no larger than [screen] and than 1080p. [analysis] itself where there is none.
 */
fun previewSize(offered: List<FrameSize>, analysis: FrameSize, screen: FrameSize): FrameSize {
    val long = minOf(maxOf(screen.width, screen.height), 1920)
    val short = minOf(minOf(screen.width, screen.height), 1080)
    return offered
        .filter { maxOf(it.width, it.height) <= long && minOf(it.width, it.height) <= short }
        .filter { abs(it.width.toDouble() / it.height - analysis.width.toDouble() / analysis.height) < 0.02 }
        .filter { it.pixels > analysis.pixels }
        .maxByOrNull { it.pixels } ?: analysis
}
