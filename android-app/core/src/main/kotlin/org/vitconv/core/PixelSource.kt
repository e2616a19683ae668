package org.vitconv.core

/** A picture that is read row by row, so that no second copy of a large one is needed. */
interface PixelSource {
    val width: Int
    val height: Int

    /** Writes row [y], [width] pixels from left to right, into [argb] as 0xAARRGGBB, not premultiplied. */
    fun readRow(y: Int, argb: IntArray)
}

/** Pixels in memory. */
class ArrayPixels(override val width: Int, override val height: Int, internal val argb: IntArray) : PixelSource {
    init {
        require(argb.size == width * height) { "${argb.size} pixels are not $width × $height" }
    }

    override fun readRow(y: Int, argb: IntArray) {
        this.argb.copyInto(argb, 0, y * width, (y + 1) * width)
    }

    companion object {
        /** A picture of the size that [image] says, of its bytes of RGB. */
        fun of(image: ImageSpec, rgb: ByteArray): ArrayPixels {
            fun value(at: Int) = rgb[at].toInt() and 255
            val argb = IntArray(image.height * image.width) {
                (255 shl 24) or (value(3 * it) shl 16) or (value(3 * it + 1) shl 8) or value(3 * it + 2)
            }
            return ArrayPixels(image.width, image.height, argb)
        }
    }
}
