package org.vitconv.demo.camera

import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.media.Image
import android.view.Surface
import org.vitconv.core.FrameSize
import java.nio.ByteBuffer

/** Pictures that a test gives. */
class FakePictures(val size: FrameSize) : Pictures {
    override val surface = Surface(SurfaceTexture(7))
    private var arrival: (() -> Unit)? = null
    private var newest: Image? = null

    @Volatile
    var closed = false
        private set

    /** Whether somebody waits for pictures. */
    val isAwaited get() = arrival != null

    fun give(image: Image) {
        newest = image
        arrival?.invoke()
    }

    override fun onArrival(call: () -> Unit) {
        arrival = call
    }

    override fun <T : Any> latest(read: (Image) -> T): T? = newest?.also { newest = null }?.let(read)

    override fun close() {
        closed = true
    }
}

/** A camera's picture whose planes are [given]: Y, U and V. */
class PlanesImage(private val width: Int, private val height: Int, private val given: List<org.vitconv.core.Plane>) : Image() {
    private class GivenPlane(private val plane: org.vitconv.core.Plane) : Plane() {
        override fun getRowStride() = plane.rowStride

        override fun getPixelStride() = plane.pixelStride

        override fun getBuffer(): ByteBuffer = plane.bytes
    }

    override fun getFormat() = ImageFormat.YUV_420_888

    override fun getWidth() = width

    override fun getHeight() = height

    override fun getTimestamp() = 0L

    override fun getTransform() = 0

    override fun getScalingMode() = 0

    override fun getPlanes(): Array<Plane> = given.map { GivenPlane(it) }.toTypedArray()

    override fun close() = Unit
}

/** A picture of [luma] and of one colour, with chroma as most cameras give it: interleaved, U first. */
class FakeImage(private val luma: List<List<Int>>, private val blue: Int = 128, private val red: Int = 128) : Image() {
    private class FakePlane(private val bytes: ByteBuffer, private val stride: Int, private val step: Int) : Plane() {
        override fun getRowStride() = stride

        override fun getPixelStride() = step

        override fun getBuffer(): ByteBuffer = bytes
    }

    /** Called when the first plane is read. */
    var whileRead: () -> Unit = {}

    override fun getFormat() = ImageFormat.YUV_420_888

    override fun getWidth() = luma[0].size

    override fun getHeight() = luma.size

    override fun getTimestamp() = 0L

    override fun getTransform() = 0

    override fun getScalingMode() = 0

    override fun getPlanes(): Array<Plane> {
        whileRead()
        val values = luma.flatten().map(Int::toByte).toByteArray()
        val halves = (width + 1) / 2 * ((height + 1) / 2)
        val chroma = ByteArray(2 * halves) { (if (it % 2 == 0) blue else red).toByte() }
        fun of(first: Int) = ByteBuffer.wrap(chroma, first, chroma.size - first).slice()
        return arrayOf(
            FakePlane(ByteBuffer.wrap(values), width, 1),
            FakePlane(of(0), (width + 1) / 2 * 2, 2),
            FakePlane(of(1), (width + 1) / 2 * 2, 2),
        )
    }

    override fun close() = Unit
}
