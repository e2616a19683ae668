package org.vitconv.demo.camera

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.vitconv.classifier.PictureDecoder
import org.vitconv.classifier.read
import org.vitconv.core.CameraFixtures
import org.vitconv.core.Layout
import org.vitconv.core.PixelSource
import org.vitconv.core.Resampler
import org.vitconv.core.YuvFrame
import org.vitconv.demo.TestApplication

/** One picture from the gallery, from the camera, and from the converter is the same for a model. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = TestApplication::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class SamePixelsTest {
    private val fixtures = CameraFixtures.read()

    private fun prepared(input: CameraFixtures.Input, pixels: PixelSource) =
        ByteArray(input.image.height * input.image.width * 3).also { Resampler(input.image).resample(pixels, it) }

    @Test
    fun `a file of the gallery becomes what the converter makes of it, to one step of 255`() {
        for (input in fixtures.inputs) {
            val found = input.difference(prepared(input, PictureDecoder.decode(fixtures.file)))
            assertTrue("${input.image}: off by $found", found <= 1)
        }
    }

    @Test
    fun `a frame of Android's camera in any position is within two steps of the converter and of the gallery`() {
        assertEquals(8 to 6, fixtures.frames.size to Layout.entries.size)
        for (input in fixtures.inputs) {
            val gallery = prepared(input, PictureDecoder.decode(fixtures.file))
            for (frame in fixtures.frames) for (layout in Layout.entries) {
                val image = PlanesImage(frame.width, frame.height, layout.planes(frame))
                val camera = prepared(input, YuvFrame().read(image, frame.upright))
                val apart = gallery.indices.maxOf { Math.abs((gallery[it].toInt() and 255) - (camera[it].toInt() and 255)) }
                assertTrue("${input.image} ${frame.upright} $layout: $apart", apart <= 2 && input.difference(camera) <= 2)
            }
        }
    }
}
