package org.vitconv.demo.camera

import android.graphics.ImageFormat
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.Looper
import android.view.Surface
import org.vitconv.core.FrameSize

/** The pictures that a camera streams onto [surface]. Not to be closed while one is read. */
interface Pictures : AutoCloseable {
    val surface: Surface

    /** Calls [call] on the main thread whenever there is a new one. */
    fun onArrival(call: () -> Unit)

    /** What [read] makes of the newest one; null where there is none. */
    fun <T : Any> latest(read: (Image) -> T): T?
}

/** Android's reader of YUV pictures. */
class ReaderPictures(size: FrameSize) : Pictures {
    private val reader = ImageReader.newInstance(size.width, size.height, ImageFormat.YUV_420_888, 2)
    override val surface: Surface get() = reader.surface

    override fun onArrival(call: () -> Unit) =
        reader.setOnImageAvailableListener({ call() }, Handler(Looper.getMainLooper()))

    override fun <T : Any> latest(read: (Image) -> T): T? = try {
        reader.acquireLatestImage()?.use(read)
    } catch (_: IllegalStateException) {
        null // the camera was taken away, and its pictures with it
    }

    override fun close() = reader.close()
}
