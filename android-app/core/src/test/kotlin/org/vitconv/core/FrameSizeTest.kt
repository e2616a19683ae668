package org.vitconv.core

import org.junit.Assert.assertEquals
import org.junit.Test

class FrameSizeTest {
    private fun sizes(vararg sizes: Pair<Int, Int>) = sizes.map { (width, height) -> FrameSize(width, height) }

    private val offered = sizes(4000 to 3000, 1920 to 1080, 1440 to 1080, 1280 to 960, 1280 to 720, 640 to 480, 320 to 240)
    private val phone = FrameSize(1080, 2400)

    @Test
    fun `what is classified is small`() {
        assertEquals(FrameSize(640, 480), analysisSize(offered))
        assertEquals(FrameSize(1280, 720), analysisSize(sizes(4000 to 3000, 1280 to 720)))
        assertEquals(null, analysisSize(emptyList()))
    }

    @Test
    fun `what is shown is as sharp as the screen, and of the same shape`() {
        assertEquals(FrameSize(1440, 1080), previewSize(offered, FrameSize(640, 480), phone))
        assertEquals(FrameSize(1920, 1080), previewSize(offered, FrameSize(640, 360), phone))
        assertEquals(FrameSize(640, 480), previewSize(offered, FrameSize(640, 480), FrameSize(480, 854)))
        assertEquals(FrameSize(352, 288), previewSize(offered, FrameSize(352, 288), phone))
    }
}
