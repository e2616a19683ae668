package org.vitconv.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Test
import java.nio.ByteBuffer

/** Values that no file and no caller may have are refused where they come in, with the value. */
class RefusalsTest {
    private fun refused(vararg makers: () -> Any) = makers.forEachIndexed { index, make ->
        val error = assertThrows("$index", IllegalArgumentException::class.java) { make() }
        assert(error.message.orEmpty().isNotEmpty()) { "$index" }
    }

    @Test
    fun `an image that no classifier takes`() {
        refused(
            { ImageSpec(0, 8) }, { ImageSpec(8, 0) }, { ImageSpec(4097, 8) }, { ImageSpec(8, 4097) }, { ImageSpec(8, 8, 4) },
            { ArrayPixels(2, 2, IntArray(3)) }, { Resampler(ImageSpec(2, 2)).resample(ArrayPixels(5, 0, IntArray(0)), ByteArray(12)) },
            { Resampler(ImageSpec(2, 2)).resample(ArrayPixels(2, 2, IntArray(4)), ByteArray(11)) },
        )
        assertEquals(4096, ImageSpec(4096, 1).height)
    }

    @Test
    fun `a confidence that promises nothing`() {
        refused(
            { Confidence(0.0, 0.01) }, { Confidence(1001.0, 0.01) }, { Confidence(1.0, 0.0) }, { Confidence(1.0, 1.0) },
            { Confidence(1.0, 0.01, listOf(Confidence.Threshold(1.5, 0.5))) }, { Confidence(1.0, 0.01, listOf(Confidence.Threshold(-0.5, 0.5))) },
            { Confidence(1.0, 0.01, listOf(Confidence.Threshold(0.1, 1.5))) }, { Confidence(1.0, 0.01, listOf(Confidence.Threshold(0.1, -0.5))) },
        )
        val unsure = Confidence(1.0, 0.01, listOf(Confidence.Threshold(0.1, null)))
        assertEquals(emptyList<Double>(), unsure.errorRates)
        assertNull(unsure.least(0.5))
    }

    @Test
    fun `more threads than there are, and figures of no runs`() {
        refused({ RunOptions(0) }, { RunOptions(65) }, { Statistics(doubleArrayOf()) })
        val one = Statistics(doubleArrayOf(4.0))
        assertEquals(listOf(4.0, 4.0, 1), listOf(one.percentile(95.0), one.medianInterval().second, one.count))
    }

    @Test
    fun `answers of another number of classes than the golden ones`() {
        refused({ SelfTest("a", "int8", Limits(0.5, 0.5)).add(floatArrayOf(1f), listOf(0.5, 0.5)) })
    }

    @Test
    fun `what a camera or EXIF says that is not defined stands upright`() {
        for (value in listOf(0, 9, -1)) assertEquals(Orientation.UPRIGHT, Orientation.ofExif(value))
        for (orientation in Orientation.entries) assertEquals(orientation, Orientation.ofExif(orientation.exif))
        assertEquals(FrameSize(640, 480), previewSize(listOf(FrameSize(1280, 960)), FrameSize(640, 480), FrameSize(800, 600)))
        assertEquals(FrameSize(640, 480), previewSize(listOf(FrameSize(1000, 960)), FrameSize(640, 480), FrameSize(2000, 2000)))
    }

    @Test
    fun `integers without a scale are taken as they are`() {
        val answer = FloatArray(2)
        OutputReader(TensorSpec(listOf(1, 2), TensorType.UINT8, null)).read(ByteBuffer.wrap(byteArrayOf(3, 200.toByte())), answer)
        assertEquals(listOf(3f, 200f), answer.toList())
    }

    @Test
    fun `a picture that has the model's size on one side alone is scaled on the other`() {
        val pixels = IntArray(4 * 2) { (255 shl 24) or if (it / 4 == 0) 0xC8C8C8 else 0 }
        for ((spec, expected) in listOf(ImageSpec(1, 4) to 4, ImageSpec(2, 2) to 4, ImageSpec(2, 4) to 8)) {
            val rgb = ByteArray(spec.height * spec.width * 3)
            repeat(2) { Resampler(spec).resample(ArrayPixels(4, 2, pixels), rgb) }
            assertEquals(expected, rgb.size / 3)
            assertEquals(if (spec.height == 1) 100 else 200, rgb[0].toInt() and 255)
        }
        val resampler = Resampler(ImageSpec(2, 2, resize = ResizeRule.CENTER_CROP))
        val cropped = ByteArray(12)
        for (width in listOf(4, 6)) { // the same height, another width
            resampler.resample(ArrayPixels(width, 2, IntArray(width * 2) { (255 shl 24) or (it % width) }), cropped)
            assertEquals(width / 2 - 1, cropped[2].toInt())
        }
    }
}
