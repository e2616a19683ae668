package org.vitconv.core

/**
 * How stored pixels must be turned to stand upright, as EXIF numbers it.
 *
 * First [mirrored] left to right, then turned clockwise by [quarterTurns] times 90°.
 */
enum class Orientation(val exif: Int, val quarterTurns: Int, val mirrored: Boolean) {
    UPRIGHT(1, 0, false),
    MIRRORED(2, 0, true),
    TURNED_180(3, 2, false),
    MIRRORED_TURNED_180(4, 2, true),
    MIRRORED_TURNED_270(5, 3, true),
    TURNED_90(6, 1, false),
    MIRRORED_TURNED_90(7, 1, true),
    TURNED_270(8, 3, false),
    ;

    /** Whether width and height change places. */
    val swapsSides: Boolean get() = quarterTurns % 2 == 1

    companion object {
        /** Anything that EXIF doesn't define stands for upright, as it does everywhere. */
        fun ofExif(value: Int): Orientation = entries.firstOrNull { it.exif == value } ?: UPRIGHT

        /**
         * For a camera whose sensor is mounted turned by [sensorDegrees] clockwise, in a device that is turned by
         * [displayDegrees] from its natural position; both are multiples of 90.
         */
        fun ofCamera(sensorDegrees: Int, displayDegrees: Int, frontFacing: Boolean): Orientation {
            val degrees = if (frontFacing) sensorDegrees + displayDegrees else sensorDegrees - displayDegrees
            val quarterTurns = Math.floorMod(degrees / 90, 4)
            return entries.first { it.quarterTurns == quarterTurns && !it.mirrored }
        }
    }
}

/** [source] standing upright. Rows of the result are columns of the source where [orientation] swaps the sides. */
class OrientedPixels(
    private val source: IntArray,
    private val sourceWidth: Int,
    private val sourceHeight: Int,
    private val orientation: Orientation,
) : PixelSource {
    override val width = if (orientation.swapsSides) sourceHeight else sourceWidth
    override val height = if (orientation.swapsSides) sourceWidth else sourceHeight

    override fun readRow(y: Int, argb: IntArray) {
        // The source index is linear in x: find the first one, and the step to the next.
        val first = index(0, y)
        val step = if (width > 1) index(1, y) - first else 0
        var at = first
        for (x in 0 until width) {
            argb[x] = source[at]
            at += step
        }
    }

    /** Which source pixel stands at ([x], [y]) of the upright picture. */
    private fun index(x: Int, y: Int): Int {
        val turnedX = when (orientation.quarterTurns) {
            0 -> x
            1 -> y
            2 -> sourceWidth - 1 - x
            else -> sourceWidth - 1 - y
        }
        val sourceY = when (orientation.quarterTurns) {
            0 -> y
            1 -> sourceHeight - 1 - x
            2 -> sourceHeight - 1 - y
            else -> x
        }
        val sourceX = if (orientation.mirrored) sourceWidth - 1 - turnedX else turnedX
        return sourceY * sourceWidth + sourceX
    }
}
