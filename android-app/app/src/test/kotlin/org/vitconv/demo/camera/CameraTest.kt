package org.vitconv.demo.camera

import android.content.Intent
import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.util.Size
import android.view.Surface
import android.view.TextureView
import android.view.View
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.shadows.ShadowCameraCharacteristics
import org.robolectric.shadows.ShadowCameraManager
import org.robolectric.shadows.ShadowDisplay
import org.robolectric.shadows.StreamConfigurationMapBuilder
import org.robolectric.util.ReflectionHelpers
import org.vitconv.core.FrameSize
import org.vitconv.demo.R
import org.vitconv.demo.ScreenTests
import org.vitconv.demo.TestApplication
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit

/** The live view on Robolectric's camera, which opens and configures as a real one, and whose pictures the tests give. */
class CameraTest : ScreenTests() {
    private class Texture : SurfaceTexture(3) {
        var size: FrameSize? = null

        override fun setDefaultBufferSize(width: Int, height: Int) {
            size = FrameSize(width, height)
        }
    }

    private val manager get() = RuntimeEnvironment.getApplication().getSystemService(CameraManager::class.java)
    private val texture by lazy { Texture() }
    private val pictures get() = checkNotNull(TestApplication.pictures)

    /** A sensor as in nearly every phone: mounted sideways. */
    @Before
    fun aPhoneWithACamera() {
        TestApplication.pictures = null
        TestApplication.seen = emptyList()
        val facts = ShadowCameraCharacteristics.newCameraCharacteristics()
        val streams = StreamConfigurationMapBuilder.newBuilder()
        for (size in listOf(Size(4000, 3000), Size(1440, 1080), Size(640, 480), Size(320, 240))) {
            streams.addOutputSize(ImageFormat.YUV_420_888, size)
            streams.addOutputSize(size)
        }
        shadowOf(facts).apply {
            set(CameraCharacteristics.LENS_FACING, CameraCharacteristics.LENS_FACING_BACK)
            set(CameraCharacteristics.SENSOR_ORIENTATION, 90)
            set(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP, streams.build())
        }
        shadowOf(manager).addCamera("0", facts)
        shadowOf(RuntimeEnvironment.getApplication()).grantPermissions("android.permission.CAMERA")
    }

    /** Opens the live view; Robolectric draws no texture, so the test brings one. */
    private fun live(qualifiers: String = "") {
        launch(qualifiers = qualifiers)
        tap(R.id.nav_live)
        giveTexture()
        waitFor("the camera") { TestApplication.pictures?.isAwaited == true }
    }

    private fun giveTexture() {
        val view = activity.findViewById<TextureView>(R.id.preview)
        waitFor("the view") { view.surfaceTextureListener != null }
        view.surfaceTextureListener?.onSurfaceTextureAvailable(texture, view.width, view.height)
    }

    private val running get() = words().any { it == "tulips" }

    /** The device that was opened last. */
    private val device: CameraDevice?
        get() = ReflectionHelpers.getStaticField(ShadowCameraManager::class.java, "lastDevice")

    private val isClosed
        get() = try {
            device!!.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
            false
        } catch (_: IllegalStateException) {
            true
        }

    private fun grey() = TestApplication.seen.map { row -> row.map { it and 255 } }

    @Test
    fun `frames are classified upright and in their colours`() {
        live()
        pictures.give(FakeImage(listOf(listOf(76, 76, 76, 76), listOf(76, 76, 76, 76)), blue = 85, red = 255))
        waitFor("an answer") { running }
        assertEquals(setOf(0xFFFE0000.toInt()), TestApplication.seen.flatten().toSet())
        pictures.give(FakeImage(listOf(listOf(10, 20, 30, 40), listOf(50, 60, 70, 80))))
        waitFor("the next frame") { grey() == listOf(listOf(50, 10), listOf(60, 20), listOf(70, 30), listOf(80, 40)) }
        assertTrue(activity.findViewById<View>(R.id.preview).rootView.let(::keepsScreenOn))
    }

    @Test
    fun `what is shown is sharper than what is classified`() {
        live()
        assertEquals(FrameSize(640, 480), pictures.size)
        assertEquals(FrameSize(640, 480), texture.size) // the screen of these tests is too small for 1440 × 1080
        tap(R.id.nav_models)
        RuntimeEnvironment.setQualifiers("w412dp-h915dp-xxxhdpi")
        recreate()
        tap(R.id.nav_live)
        giveTexture()
        waitFor("the camera") { pictures.size == FrameSize(640, 480) && texture.size == FrameSize(1440, 1080) }
    }

    @Test
    fun `in reverse landscape the frames stand upright, though nothing is made anew`() {
        shadowOf(ShadowDisplay.getDefaultDisplay()).setRotation(Surface.ROTATION_90)
        live("w786dp-h393dp-land-xhdpi")
        shadowOf(ShadowDisplay.getDefaultDisplay()).setRotation(Surface.ROTATION_90)
        settle()
        val frame = listOf(listOf(10, 20), listOf(30, 40))
        pictures.give(FakeImage(frame))
        waitFor("a frame") { grey() == frame }
        shadowOf(ShadowDisplay.getDefaultDisplay()).setRotation(Surface.ROTATION_270)
        settle()
        pictures.give(FakeImage(frame))
        waitFor("the frame turned, not ${grey()}") { grey() == listOf(listOf(40, 30), listOf(20, 10)) }
    }

    @Test
    fun `a camera that opens after the screen was left is closed again`() {
        launch()
        tap(R.id.nav_live)
        giveTexture()
        repeat(200) { if (device == null) Thread.sleep(10) } // opened, but the main thread isn't told yet
        assertFalse(isClosed)
        tap(R.id.nav_models)
        waitFor("the camera to be closed") { isClosed }
    }

    @Test
    fun `leaving the screen closes the camera, but not under a picture that is read`() {
        live()
        val image = FakeImage(listOf(listOf(10, 20), listOf(30, 40)))
        val reading = CountDownLatch(1)
        val left = CountDownLatch(1)
        image.whileRead = {
            reading.countDown()
            left.await(30, TimeUnit.SECONDS)
        }
        pictures.give(image)
        waitFor("the picture to be read") { reading.count == 0L }
        tap(R.id.nav_models)
        assertFalse(pictures.closed)
        left.countDown()
        waitFor("the camera to be closed") { pictures.closed && isClosed }
    }

    @Test
    fun `after it was taken away the camera can be tried again`() {
        live()
        val first = pictures
        shadowOf(manager).triggerDisconnect()
        waitFor("the message") { activity.getString(R.string.live_no_camera) in words() }
        waitFor("the end of the first") { first.closed && isClosed }
        assertFalse(keepsScreenOn(activity.window.decorView))
        tap(R.id.live_action)
        giveTexture()
        waitFor("the camera") { pictures !== first && pictures.isAwaited }
        pictures.give(FakeImage(listOf(listOf(1, 2), listOf(3, 4))))
        waitFor("an answer") { running }
    }

    @Test
    fun `a camera that cannot be used at all is no crash`() {
        shadowOf(manager).removeCamera("0")
        shadowOf(manager).addCamera("0", ShadowCameraCharacteristics.newCameraCharacteristics())
        launch(Intent(Intent.ACTION_MAIN))
        tap(R.id.nav_live)
        waitFor("the message") { activity.getString(R.string.live_no_camera) in words() }
        assertThrows(IllegalStateException::class.java) { pictures }
    }
}
