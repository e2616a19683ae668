package org.vitconv.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertSame
import org.junit.Test
import java.nio.ByteBuffer

class YuvFrameTest {
    private fun rgb(argb: Int) = Triple(argb shr 16 and 255, argb shr 8 and 255, argb and 255)

    @Test
    fun `colours are those of JPEG's conversion`() {
        // From ITU-T T.871: R = Y + 1.402 Cr, G = Y − 0.344136 Cb − 0.714136 Cr, B = Y + 1.772 Cb.
        for (luma in 0..255 step 15) for (blue in -128..127 step 17) for (red in -128..127 step 17) {
            val expected = Triple(
                Math.rint(luma + 1.402 * red).toInt().coerceIn(0, 255),
                Math.rint(luma - 0.344136 * blue - 0.714136 * red).toInt().coerceIn(0, 255),
                Math.rint(luma + 1.772 * blue).toInt().coerceIn(0, 255),
            )
            val actual = rgb(YuvFrame.toArgb(luma, blue, red))
            val worst = listOf(actual.first - expected.first, actual.second - expected.second, actual.third - expected.third)
                .maxOf { Math.abs(it) }
            assert(worst <= 1) { "Y $luma Cb $blue Cr $red: $actual, not $expected" }
        }
    }

    /** 4 × 2 luma with two bytes of padding a row; chroma interleaved, as most cameras give it. */
    private val luma = Plane(ByteBuffer.wrap(byteArrayOf(10, 20, 30, 40, 0, 0, 50, 60, 70, 80)), 6, 1)
    private val grey = Plane(ByteBuffer.wrap(ByteArray(4) { 128.toByte() }), 4, 2)

    private fun rows(source: PixelSource): List<List<Int>> = List(source.height) { y ->
        IntArray(source.width).also { source.readRow(y, it) }.map { it and 255 }
    }

    @Test
    fun `strides and padding are stepped over`() {
        val source = YuvFrame().read(4, 2, luma, grey, grey, Orientation.UPRIGHT)
        assertEquals(listOf(listOf(10, 20, 30, 40), listOf(50, 60, 70, 80)), rows(source))
    }

    @Test
    fun `a sensor mounted sideways is turned upright`() {
        val source = YuvFrame().read(4, 2, luma, grey, grey, Orientation.ofCamera(90, 0, false))
        assertEquals(listOf(listOf(50, 10), listOf(60, 20), listOf(70, 30), listOf(80, 40)), rows(source))
    }

    @Test
    fun `what the device is turned counts the other way`() {
        assertEquals(Orientation.UPRIGHT, Orientation.ofCamera(90, 90, false))
        assertEquals(Orientation.TURNED_180, Orientation.ofCamera(90, 270, false))
        assertEquals(Orientation.UPRIGHT, Orientation.ofCamera(270, 90, true))
    }

    @Test
    fun `blue and red chroma are not taken for each other`() {
        // ITU-T T.871: pure red is Y 76, Cb 85, Cr 255; pure blue Y 29, Cb 255, Cr 107.
        for ((colour, planes) in listOf(Triple(254, 0, 0) to listOf(76, 85, 255), Triple(0, 0, 254) to listOf(29, 255, 107))) {
            val (y, u, v) = planes.map { Plane(ByteBuffer.wrap(byteArrayOf(it.toByte())), 1, 1) }
            val pixel = IntArray(1).also { YuvFrame().read(1, 1, y, u, v, Orientation.UPRIGHT).readRow(0, it) }.single()
            assertEquals(colour, rgb(pixel))
        }
    }

    @Test
    fun `a frame of another height, width or position is not read as the one before`() {
        fun plane(vararg values: Int) = Plane(ByteBuffer.wrap(ByteArray(values.size) { values[it].toByte() }), 4, 1)
        val frame = YuvFrame()
        frame.read(4, 2, luma, grey, grey, Orientation.UPRIGHT)
        val low = plane(1, 2, 3, 4)
        assertEquals(listOf(listOf(1, 2, 3, 4)), rows(frame.read(4, 1, low, grey, grey, Orientation.UPRIGHT)))
        assertEquals(listOf(listOf(1, 2)), rows(frame.read(2, 1, low, grey, grey, Orientation.UPRIGHT)))
        assertEquals(listOf(listOf(2, 1)), rows(frame.read(2, 1, low, grey, grey, Orientation.TURNED_180)))
    }

    @Test
    fun `the same frame is used again for the next picture`() {
        val frame = YuvFrame()
        assertSame(frame.read(4, 2, luma, grey, grey, Orientation.UPRIGHT), frame.read(4, 2, luma, grey, grey, Orientation.UPRIGHT))
    }
}
