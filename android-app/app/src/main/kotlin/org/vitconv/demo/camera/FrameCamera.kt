package org.vitconv.demo.camera

import android.Manifest
import android.annotation.TargetApi
import android.app.Activity
import android.content.pm.PackageManager
import android.graphics.ImageFormat
import android.graphics.Matrix
import android.graphics.RectF
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Build
import android.os.Handler
import android.os.HandlerThread
import android.util.Size
import android.view.Surface
import android.view.TextureView
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.suspendCancellableCoroutine
import kotlinx.coroutines.withContext
import org.vitconv.demo.core.Orientation
import org.vitconv.demo.core.PixelSource
import org.vitconv.demo.core.Plane
import org.vitconv.demo.core.YuvFrame
import kotlin.coroutines.resume

/** A camera that shows its view and gives frames, one at a time: those that come meanwhile are dropped. */
class FrameCamera private constructor(private val orientation: Orientation, size: Size) : AutoCloseable {
    private val thread = HandlerThread("camera").apply { start() }
    private val handler = Handler(thread.looper)
    private val reader = ImageReader.newInstance(size.width, size.height, ImageFormat.YUV_420_888, 2)
    private val arrived = Channel<Unit>(Channel.CONFLATED)
    private val frame = YuvFrame()
    private var device: CameraDevice? = null
    private var surface: Surface? = null

    /** Gives every frame, upright, to [use] until the camera is closed or taken away; valid until [use] returns. */
    suspend fun frames(use: suspend (PixelSource) -> Unit) {
        reader.setOnImageAvailableListener({ arrived.trySend(Unit) }, handler)
        for (signal in arrived) {
            val pixels = withContext(Dispatchers.Default) { latest() }
            if (pixels != null) use(pixels)
        }
    }

    override fun close() {
        arrived.close()
        device?.close()
        reader.close()
        surface?.release()
        thread.quitSafely()
    }

    private fun latest(): PixelSource? = try {
        reader.acquireLatestImage()?.use(::read)
    } catch (_: IllegalStateException) {
        // The camera was closed meanwhile, and its pictures with it.
        null
    }

    private fun read(image: Image): PixelSource {
        val (y, u, v) = image.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
        return frame.read(image.width, image.height, y, u, v, orientation)
    }

    /** Whether the camera [id] could be opened and streams onto [preview]. */
    private suspend fun start(manager: CameraManager, id: String, preview: Surface): Boolean {
        surface = preview
        val opened = openDevice(manager, id) ?: return false
        device = opened
        val targets = listOf(preview, reader.surface)
        val session = openSession(opened, targets) ?: return false
        val request = opened.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
        targets.forEach(request::addTarget)
        request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
        session.setRepeatingRequest(request.build(), null, handler)
        return true
    }

    private suspend fun openDevice(manager: CameraManager, id: String): CameraDevice? =
        suspendCancellableCoroutine { continuation ->
            val callback = object : CameraDevice.StateCallback() {
                override fun onOpened(camera: CameraDevice) {
                    if (continuation.isActive) continuation.resume(camera) else camera.close()
                }

                override fun onDisconnected(camera: CameraDevice) = onError(camera, 0)

                override fun onError(camera: CameraDevice, error: Int) {
                    camera.close()
                    arrived.close()
                    if (continuation.isActive) continuation.resume(null)
                }
            }
            manager.openCamera(id, callback, handler)
        }

    @Suppress("DEPRECATION") // replaced in Android 9
    private suspend fun openSession(camera: CameraDevice, targets: List<Surface>): CameraCaptureSession? =
        suspendCancellableCoroutine { continuation ->
            val callback = object : CameraCaptureSession.StateCallback() {
                override fun onConfigured(session: CameraCaptureSession) = continuation.resume(session)

                override fun onConfigureFailed(session: CameraCaptureSession) = continuation.resume(null)
            }
            camera.createCaptureSession(targets, callback, handler)
        }

    companion object {
        /** Enough for every model here, and quick to convert. */
        private const val MOST_PIXELS = 640 * 480

        /** Opens the back camera, or any; shows it in [preview]. Null where there is none that can be used. */
        suspend fun open(activity: Activity, preview: TextureView): FrameCamera? {
            if (activity.checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) return null
            val manager = activity.getSystemService(CameraManager::class.java)
            var camera: FrameCamera? = null
            var started = false
            try {
                val (id, facts) = manager.choose() ?: return null
                val sizes = facts.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)
                    ?.getOutputSizes(ImageFormat.YUV_420_888) ?: return null
                val size = sizes.filter { it.pixels <= MOST_PIXELS }.maxByOrNull { it.pixels } ?: sizes.last()
                val sensor = facts.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0
                val front = facts.get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_FRONT
                val turned = 90 * rotation(activity)
                val texture = preview.awaitTexture()
                texture.setDefaultBufferSize(size.width, size.height)
                preview.fill(size, sensor, turned)
                camera = FrameCamera(Orientation.ofCamera(sensor, turned, front), size)
                started = camera.start(manager, id, Surface(texture))
                return camera.takeIf { started }
            } catch (_: CameraAccessException) {
                return null
            } catch (_: IllegalArgumentException) {
                // The camera was unplugged, or withdrawn by a device policy.
                return null
            } catch (_: IllegalStateException) {
                // It was taken away while it was being opened.
                return null
            } finally {
                if (!started) camera?.close()
            }
        }

        private fun CameraManager.choose(): Pair<String, CameraCharacteristics>? {
            val all = cameraIdList.map { it to getCameraCharacteristics(it) }
            return all.firstOrNull { (_, facts) ->
                facts.get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_BACK
            } ?: all.firstOrNull()
        }

        private val Size.pixels get() = width * height

        private suspend fun TextureView.awaitTexture(): SurfaceTexture = surfaceTexture ?: suspendCancellableCoroutine {
            val continuation = it
            surfaceTextureListener = object : TextureView.SurfaceTextureListener {
                override fun onSurfaceTextureAvailable(surface: SurfaceTexture, width: Int, height: Int) {
                    surfaceTextureListener = null
                    continuation.resume(surface)
                }

                override fun onSurfaceTextureSizeChanged(surface: SurfaceTexture, width: Int, height: Int) = Unit

                override fun onSurfaceTextureDestroyed(surface: SurfaceTexture) = true

                override fun onSurfaceTextureUpdated(surface: SurfaceTexture) = Unit
            }
        }

        /**
         * Fills the view with the picture, cropped rather than distorted. The view stretches the buffer over itself and
         * turns it for the natural position of the device only: undo the one, and add what the device is turned.
         */
        private fun TextureView.fill(buffer: Size, sensorDegrees: Int, turnedDegrees: Int) {
            if (width == 0 || height == 0) return
            val sideways = sensorDegrees % 180 != 0
            val shown = RectF(
                0f,
                0f,
                (if (sideways) buffer.height else buffer.width).toFloat(),
                (if (sideways) buffer.width else buffer.height).toFloat(),
            )
            val view = RectF(0f, 0f, width.toFloat(), height.toFloat())
            shown.offset(view.centerX() - shown.centerX(), view.centerY() - shown.centerY())
            val turned = turnedDegrees % 180 != 0
            val scale = maxOf(
                view.width() / if (turned) shown.height() else shown.width(),
                view.height() / if (turned) shown.width() else shown.height(),
            )
            setTransform(
                Matrix().apply {
                    setRectToRect(view, shown, Matrix.ScaleToFit.FILL)
                    postScale(scale, scale, view.centerX(), view.centerY())
                    postRotate(-turnedDegrees.toFloat(), view.centerX(), view.centerY())
                },
            )
        }

        /** In quarter turns from the device's natural position. */
        private fun rotation(activity: Activity): Int =
            if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) rotationSince11(activity) else rotationBefore11(activity)

        @TargetApi(Build.VERSION_CODES.R)
        private fun rotationSince11(activity: Activity): Int = activity.display?.rotation ?: 0

        @Suppress("DEPRECATION") // replaced in Android 11
        private fun rotationBefore11(activity: Activity): Int = activity.windowManager.defaultDisplay.rotation
    }
}
