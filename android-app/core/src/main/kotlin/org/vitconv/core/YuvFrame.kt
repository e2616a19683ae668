package org.vitconv.core

import java.nio.ByteBuffer

/** One plane of a YUV 4:2:0 frame, with its strides in bytes, as Android's camera gives it. */
class Plane(val bytes: ByteBuffer, val rowStride: Int, val pixelStride: Int)

/**
 * Camera frames (YUV 4:2:0, full range, BT.601) as RGB pixels standing upright. Its buffers are kept from one frame to
 * the next of the same size.
 */
class YuvFrame {
    private var pixels = IntArray(0)
    private var luma = ByteArray(0)
    private var blue = ByteArray(0)
    private var red = ByteArray(0)
    private var upright: PixelSource = ArrayPixels(0, 0, pixels)
    private var width = -1
    private var height = -1
    private var orientation = Orientation.UPRIGHT

    /** The frame of [width] × [height] pixels; it is valid until the next call. */
    fun read(width: Int, height: Int, y: Plane, u: Plane, v: Plane, orientation: Orientation): PixelSource {
        if (width != this.width || height != this.height || orientation != this.orientation) {
            pixels = IntArray(width * height)
            upright = OrientedPixels(pixels, width, height, orientation)
            this.width = width
            this.height = height
            this.orientation = orientation
        }
        luma = y.copyInto(luma)
        blue = u.copyInto(blue)
        red = v.copyInto(red)
        var at = 0
        for (row in 0 until height) {
            var lumaAt = row * y.rowStride
            for (column in 0 until width) {
                val chroma = row / 2 * u.rowStride + column / 2 * u.pixelStride
                val chromaRed = row / 2 * v.rowStride + column / 2 * v.pixelStride
                pixels[at++] = toArgb(
                    luma[lumaAt].toInt() and 255,
                    (blue[chroma].toInt() and 255) - 128,
                    (red[chromaRed].toInt() and 255) - 128,
                )
                lumaAt += y.pixelStride
            }
        }
        return upright
    }

    private fun Plane.copyInto(array: ByteArray): ByteArray {
        val source = bytes.duplicate()
        source.toStart()
        val target = if (array.size == source.remaining()) array else ByteArray(source.remaining())
        source.get(target)
        return target
    }

    companion object {
        /** JPEG's conversion (ITU-T T.871): luma 0–255, chroma −128…127; fixed point with 16 bits after the point. */
        fun toArgb(luma: Int, blue: Int, red: Int): Int {
            val scaled = (luma shl 16) + (1 shl 15)
            val r = (scaled + 91_881 * red shr 16).coerceIn(0, 255)
            val g = (scaled - 22_554 * blue - 46_802 * red shr 16).coerceIn(0, 255)
            val b = (scaled + 116_130 * blue shr 16).coerceIn(0, 255)
            return (255 shl 24) or (r shl 16) or (g shl 8) or b
        }
    }
}
