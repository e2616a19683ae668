package org.vitconv.core

/** A picture that is read row by row, so that no second copy of a large one is needed. */
interface PixelSource {
    val width: Int
    val height: Int

    /** Writes row [y], [width] pixels from left to right, into [argb] as 0xAARRGGBB, not premultiplied. */
    fun readRow(y: Int, argb: IntArray)
}

/** Pixels in memory. */
class ArrayPixels(override val width: Int, override val height: Int, private val argb: IntArray) : PixelSource {
    init {
        require(argb.size == width * height) { "${argb.size} pixels are not $width × $height" }
    }

    override fun readRow(y: Int, argb: IntArray) {
        this.argb.copyInto(argb, 0, y * width, (y + 1) * width)
    }
}
