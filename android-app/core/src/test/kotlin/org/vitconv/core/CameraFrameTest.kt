package org.vitconv.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import java.nio.ByteBuffer

/**
 * Camera frames of one picture in every position of the sensor and in every layout that cameras use become the pixels
 * that the converter makes of the picture: tests/android_fixtures.py.
 */
class CameraFrameTest {
    private val fixtures = CameraFixtures.read()

    private fun worst(input: CameraFixtures.Input, pixels: PixelSource): Int {
        val rgb = ByteArray(input.image.height * input.image.width * 3)
        Resampler(input.image).resample(pixels, rgb)
        return input.difference(rgb)
    }

    private fun read(frame: CameraFixtures.Frame, layout: Layout, orientation: Orientation = frame.upright, into: YuvFrame = YuvFrame()): PixelSource {
        val (y, u, v) = layout.planes(frame)
        return into.read(frame.width, frame.height, y, u, v, orientation)
    }

    @Test
    fun `every orientation in every layout gives the converter's pixels within two steps`() {
        assertEquals((1..8).toList(), fixtures.frames.map { it.orientation })
        assertEquals(3, fixtures.inputs.size)
        val again = YuvFrame()
        for (input in fixtures.inputs) for (frame in fixtures.frames) for (layout in Layout.entries) {
            val found = worst(input, read(frame, layout, into = again))
            assertTrue("${input.image}, orientation ${frame.orientation}, $layout: off by $found", found <= 2)
        }
    }

    @Test
    fun `blue and red in each other's place are noticed in every layout`() {
        for (layout in Layout.entries) {
            val frame = fixtures.frames.first()
            val (y, u, v) = layout.planes(frame)
            val found = worst(fixtures.inputs.first(), YuvFrame().read(frame.width, frame.height, y, v, u, frame.upright))
            assertTrue("$layout: off by $found", found > 20)
        }
    }

    @Test
    fun `every wrong orientation is noticed`() {
        for (frame in fixtures.frames) for (orientation in Orientation.entries - frame.upright) {
            val found = worst(fixtures.inputs.first(), read(frame, Layout.PLANAR, orientation))
            assertTrue("$orientation in the place of ${frame.upright}: off by $found", found > 20)
        }
    }

    @Test
    fun `a stride that is one off is noticed`() {
        val frame = fixtures.frames.first()
        val (y, u, v) = Layout.PADDED.planes(frame)
        fun Plane.shifted(rows: Int) = Plane(bytes, rowStride + rows, pixelStride)
        for (planes in listOf(Triple(y.shifted(-1), u, v), Triple(y, u.shifted(-1), v), Triple(y, u, v.shifted(-1)))) {
            val pixels = YuvFrame().read(frame.width, frame.height, planes.first, planes.second, planes.third, frame.upright)
            assertTrue(worst(fixtures.inputs.first(), pixels) > 20)
        }
    }

    @Test
    fun `where the sensor and the device are turned to one another the frame is set upright by both`() {
        // A sensor of 90° in a device held upright, and every other pair that comes to the same.
        val sideways = fixtures.frames.first { it.orientation == 6 }
        for ((sensor, display, front) in listOf(Triple(90, 0, false), Triple(180, 90, false), Triple(0, 270, false), Triple(270, 180, true), Triple(0, 90, true))) {
            val orientation = Orientation.ofCamera(sensor, display, front)
            assertTrue("$sensor° $display° $front", worst(fixtures.inputs.first(), read(sideways, Layout.INTERLEAVED, orientation)) <= 2)
        }
    }
}

/** How a camera lays the planes of a frame into memory. Bytes that belong to no pixel are 255, which would be seen. */
enum class Layout {
    /** Three planes without gaps. */
    PLANAR,

    /** Three planes whose rows are longer than the picture. */
    PADDED,

    /** One plane of chroma, U first, and its mirror image with V first. */
    INTERLEAVED,
    INTERLEAVED_V_FIRST,

    /** Interleaved, with padded rows; what comes after the last pixel is cut off, as on many phones. */
    INTERLEAVED_PADDED,

    /** Luma with a pixel stride of two, which Android does not rule out for other formats. */
    SPREAD,
    ;

    fun planes(frame: CameraFixtures.Frame): List<Plane> {
        val (width, height) = frame.width / 2 to frame.height / 2
        val y = if (this == SPREAD) spread(frame.luma, frame.width, 2 * frame.width + 5, 2, 0) else
            spread(frame.luma, frame.width, frame.width + if (this == PADDED || this == INTERLEAVED_PADDED) 12 else 0, 1, 0)
        return when (this) {
            PLANAR, SPREAD -> listOf(y, spread(frame.blue, width, width, 1, 0), spread(frame.red, width, width, 1, 0))
            PADDED -> listOf(y, spread(frame.blue, width, width + 7, 1, 0), spread(frame.red, width, width + 3, 1, 0))
            INTERLEAVED -> listOf(y) + interleaved(frame.blue, frame.red, width, height, 0)
            INTERLEAVED_V_FIRST -> listOf(y) + interleaved(frame.red, frame.blue, width, height, 0).reversed()
            INTERLEAVED_PADDED -> listOf(y) + interleaved(frame.blue, frame.red, width, height, 10)
        }
    }

    private fun spread(values: ByteArray, width: Int, rowStride: Int, pixelStride: Int, first: Int): Plane {
        val height = values.size / width
        val bytes = ByteArray((height - 1) * rowStride + (width - 1) * pixelStride + 1 + first) { -1 }
        for (row in 0 until height) for (x in 0 until width) bytes[first + row * rowStride + x * pixelStride] = values[row * width + x]
        return Plane(ByteBuffer.wrap(bytes), rowStride, pixelStride)
    }

    /** Two views of the same bytes, of which the second begins one byte later. */
    private fun interleaved(first: ByteArray, second: ByteArray, width: Int, height: Int, padding: Int): List<Plane> {
        val stride = 2 * width + padding
        val bytes = ByteArray((height - 1) * stride + 2 * width) { -1 }
        for (row in 0 until height) for (x in 0 until width) {
            bytes[row * stride + 2 * x] = first[row * width + x]
            bytes[row * stride + 2 * x + 1] = second[row * width + x]
        }
        return listOf(0, 1).map { Plane(ByteBuffer.wrap(bytes, it, bytes.size - it).slice(), stride, 2) }
    }
}
