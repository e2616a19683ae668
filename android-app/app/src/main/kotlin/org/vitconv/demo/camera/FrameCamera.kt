package org.vitconv.demo.camera

import android.Manifest
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
import android.hardware.display.DisplayManager
import android.os.Handler
import android.os.Looper
import android.util.Log
import android.util.Size
import android.view.Surface
import android.view.TextureView
import android.view.View
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.launch
import kotlinx.coroutines.suspendCancellableCoroutine
import kotlinx.coroutines.withContext
import org.vitconv.classifier.read
import org.vitconv.core.FrameSize
import org.vitconv.core.Orientation
import org.vitconv.core.PixelSource
import org.vitconv.core.YuvFrame
import org.vitconv.core.analysisSize
import org.vitconv.core.previewSize
import kotlin.coroutines.resume

/**
 * A camera that shows its view and gives frames, one at a time: those that come meanwhile are dropped.
 *
 * Its state belongs to the main thread. What may take long, or must not happen while a picture is read, happens in
 * [calls], one after the other.
 */
class FrameCamera private constructor(
    private val activity: Activity,
    private val preview: TextureView,
    private val chosen: Chosen,
    private val pictures: Pictures,
) : AutoCloseable {
    /** A camera of the device, how it is mounted, and in which sizes it is to stream. */
    private class Chosen(
        val id: String,
        val sensorDegrees: Int,
        val isFront: Boolean,
        val analysis: FrameSize,
        val preview: FrameSize,
    )

    private val arrived = Channel<Unit>(Channel.CONFLATED)
    private val frame = YuvFrame()
    private val opened = CompletableDeferred<CameraDevice?>()
    private val configured = CompletableDeferred<CameraCaptureSession?>()
    private val displays = activity.getSystemService(DisplayManager::class.java)
    private var device: CameraDevice? = null
    private var surface: Surface? = null
    private var closed = false

    @Volatile
    private var orientation = Orientation.UPRIGHT

    /** From landscape to reverse landscape nothing is laid out anew, and no activity is made: only this is told. */
    private val onTurn = object : DisplayManager.DisplayListener {
        override fun onDisplayChanged(displayId: Int) = standUpright()

        override fun onDisplayAdded(displayId: Int) = Unit

        override fun onDisplayRemoved(displayId: Int) = Unit
    }
    private val onLayout = View.OnLayoutChangeListener { _, _, _, _, _, _, _, _, _ -> standUpright() }

    /** Gives every frame, upright, to [use] until the camera is closed or taken away; valid until [use] returns. */
    suspend fun frames(use: suspend (PixelSource) -> Unit) {
        pictures.onArrival { arrived.trySend(Unit) }
        for (signal in arrived) {
            val pixels = withContext(calls) { pictures.latest { frame.read(it, orientation) } }
            if (pixels != null) use(pixels)
        }
    }

    override fun close() {
        if (closed) return
        closed = true
        arrived.close()
        displays.unregisterDisplayListener(onTurn)
        preview.removeOnLayoutChangeListener(onLayout)
        val (device, surface) = device to surface
        CoroutineScope(calls).launch {
            device?.close()
            pictures.close()
            surface?.release()
        }
    }

    private fun standUpright() {
        val turned = 90 * rotation(activity)
        orientation = Orientation.ofCamera(chosen.sensorDegrees, turned, chosen.isFront)
        preview.fill(chosen.preview, chosen.sensorDegrees, turned)
    }

    /** Whether the camera could be opened and streams onto [target]. */
    private suspend fun start(manager: CameraManager, target: Surface): Boolean {
        surface = target
        displays.registerDisplayListener(onTurn, main)
        preview.addOnLayoutChangeListener(onLayout)
        standUpright()
        withContext(calls) { manager.openCamera(chosen.id, DeviceEvents(), main) }
        val camera = opened.await() ?: return false
        val targets = listOf(target, pictures.surface)
        withContext(calls) {
            @Suppress("DEPRECATION") // replaced in Android 9
            camera.createCaptureSession(targets, SessionEvents(), main)
        }
        val session = configured.await() ?: return false
        withContext(calls) {
            val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
            targets.forEach(request::addTarget)
            request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
            session.setRepeatingRequest(request.build(), null, main)
        }
        return true
    }

    private inner class DeviceEvents : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) {
            // Kept here and not where it is waited for: whoever waited may be gone, and it would stay open.
            if (closed) return release(camera)
            device = camera
            opened.complete(camera)
        }

        override fun onDisconnected(camera: CameraDevice) = onError(camera, 0)

        override fun onError(camera: CameraDevice, error: Int) {
            release(camera)
            opened.complete(null)
            configured.complete(null)
            arrived.close()
        }

        private fun release(camera: CameraDevice) {
            CoroutineScope(calls).launch { camera.close() }
        }
    }

    private inner class SessionEvents : CameraCaptureSession.StateCallback() {
        override fun onConfigured(session: CameraCaptureSession) {
            configured.complete(session)
        }

        override fun onConfigureFailed(session: CameraCaptureSession) {
            configured.complete(null)
        }
    }

    companion object {
        private val calls = Dispatchers.IO.limitedParallelism(1)
        private val main get() = Handler(Looper.getMainLooper())

        /**
         * Opens the back camera, or any, shows it in [preview], and reads its frames from what [picturesOf] makes.
         * Null where there is none that can be used. To be called on the main thread.
         */
        suspend fun open(activity: Activity, preview: TextureView, picturesOf: (FrameSize) -> Pictures): FrameCamera? {
            if (activity.checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) return null
            val manager = activity.getSystemService(CameraManager::class.java)
            val metrics = activity.resources.displayMetrics
            val screen = FrameSize(metrics.widthPixels, metrics.heightPixels)
            var camera: FrameCamera? = null
            var started = false
            try {
                val chosen = withContext(calls) { manager.choose(screen) } ?: return null
                val texture = preview.awaitTexture()
                texture.setDefaultBufferSize(chosen.preview.width, chosen.preview.height)
                camera = FrameCamera(activity, preview, chosen, picturesOf(chosen.analysis))
                started = camera.start(manager, Surface(texture))
                return camera.takeIf { started }
            } catch (cancelled: CancellationException) {
                throw cancelled
            } catch (error: CameraAccessException) {
                return unusable(error)
            } catch (error: RuntimeException) {
                // It was unplugged, withdrawn by a device policy or by the user, or taken away while it was being
                // opened: Android and its makers have an exception for each.
                return unusable(error)
            } finally {
                if (!started) camera?.close()
            }
        }

        private fun unusable(error: Exception): FrameCamera? {
            Log.w("vitconv", "the camera cannot be used", error)
            return null
        }

        private fun CameraManager.choose(screen: FrameSize): Chosen? {
            val all = cameraIdList.map { it to getCameraCharacteristics(it) }
            val (id, facts) = all.firstOrNull { (_, facts) ->
                facts.get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_BACK
            } ?: all.firstOrNull() ?: return null
            val streams = facts.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP) ?: return null
            val analysis = analysisSize(streams.getOutputSizes(ImageFormat.YUV_420_888).toSizes()) ?: return null
            return Chosen(
                id,
                facts.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0,
                facts.get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_FRONT,
                analysis,
                previewSize(streams.getOutputSizes(SurfaceTexture::class.java).toSizes(), analysis, screen),
            )
        }

        private fun Array<Size>?.toSizes() = orEmpty().map { FrameSize(it.width, it.height) }

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
        private fun TextureView.fill(buffer: FrameSize, sensorDegrees: Int, turnedDegrees: Int) {
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
        @Suppress("DEPRECATION") // replaced in Android 11 by another name for the same display
        private fun rotation(activity: Activity): Int = activity.windowManager.defaultDisplay.rotation
    }
}
