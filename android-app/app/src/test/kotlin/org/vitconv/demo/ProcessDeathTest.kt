package org.vitconv.demo

import android.app.Activity
import android.content.Intent
import android.graphics.drawable.BitmapDrawable
import android.net.Uri
import android.view.View
import android.widget.ImageView
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.util.ReflectionHelpers
import org.robolectric.util.ReflectionHelpers.ClassParameter
import org.vitconv.demo.picture.CaptureProvider

/** What is there again when Android has ended the app's process, and what ends with its window. */
class ProcessDeathTest : ScreenTests() {
    private fun isShown(id: Int) = activity.findViewById<View>(id).visibility == View.VISIBLE

    private fun readable(): List<Uri> =
        RuntimeEnvironment.getApplication().contentResolver.persistedUriPermissions.filter { it.isReadPermission }.map { it.uri }

    /** The picker gives [picture]. */
    private fun pick(picture: Uri) {
        tap(R.id.gallery)
        val asked = shadowOf(activity).nextStartedActivityForResult
        shadowOf(activity).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(picture))
        waitFor("an answer", ::answered)
    }

    @Test
    fun `the picture, the answer, and what was tested and timed`() {
        launch(share(offered(flower)))
        waitFor("an answer", ::answered)
        tap(R.id.nav_benchmark)
        tap(R.id.benchmark_button)
        waitFor("the table") { activity.getString(R.string.row_p95) in words() }
        val timed = words()
        tap(R.id.nav_selftest)
        tap(R.id.selftest_button)
        waitFor("the verdict") { activity.getString(R.string.selftest_failed) in words() }
        val tested = words()
        endAndComeBack()
        assertEquals(tested, words())
        assertTrue(words().any { "is off by" in it })
        tap(R.id.nav_benchmark)
        assertEquals(timed, words())
        tap(R.id.nav_classify)
        waitFor("an answer", ::answered)
        assertTrue(isShown(R.id.picture))
    }

    @Test
    fun `a second end of the process changes nothing`() {
        launch(share(offered(flower)))
        waitFor("an answer", ::answered)
        repeat(2) {
            endAndComeBack()
            waitFor("an answer", ::answered)
        }
    }

    @Test
    fun `a picture that its app gives no more is said to be gone`() {
        launch(share(offered(flower)))
        waitFor("an answer", ::answered)
        val elsewhere = Uri.parse("content://elsewhere/picture.jpg")
        shadowOf(activity.application.contentResolver).registerInputStreamSupplier(elsewhere) { throw SecurityException("no longer") }
        endAndComeBack()
        waitFor("the reason") { activity.getString(R.string.picture_cannot_open) in words() }
    }

    @Test
    fun `of the pictures that were picked the last one may be read for good`() {
        launch(share(offered(flower, "shared.jpg")))
        waitFor("an answer", ::answered)
        assertEquals(emptyList<Uri>(), readable())
        for (name in listOf("first.jpg", "second.jpg")) {
            val picked = offered(flower, name)
            pick(picked)
            assertEquals(listOf(picked), readable())
        }
        endAndComeBack()
        waitFor("an answer", ::answered)
        assertEquals(listOf("/second.jpg"), readable().map { it.path })
    }

    @Test
    fun `a picture that is taken while the process ends arrives`() {
        shadowOf(RuntimeEnvironment.getApplication()).grantPermissions("android.permission.CAMERA")
        launch()
        tap(R.id.camera)
        val asked = shadowOf(activity).nextStartedActivityForResult
        endAndComeBack()
        assertFalse(isShown(R.id.picture))
        shadowOf(activity.application.contentResolver).registerInputStreamSupplier(CaptureProvider.uri(activity)) { flower.inputStream() }
        ReflectionHelpers.callInstanceMethod<Unit>(
            activity, "onActivityResult", ClassParameter.from(Int::class.java, asked.requestCode),
            ClassParameter.from(Int::class.java, Activity.RESULT_OK), ClassParameter.from(Intent::class.java, null),
        )
        waitFor("an answer", ::answered)
    }

    @Test
    fun `what another app sent that is no picture is forgotten`() {
        launch(share(offered(flower)))
        waitFor("an answer", ::answered)
        send(Intent(Intent.ACTION_SEND).setType("image/jpeg"))
        waitFor("a refusal") { activity.getString(R.string.picture_cannot_open) in words() }
        endAndComeBack()
        assertTrue(activity.getString(R.string.classify_empty) in words())
    }

    @Test
    fun `with its window what it did ends, and no picture is held`() {
        TestApplication.runMs = 100
        launch(share(offered(flower)))
        waitFor("an answer", ::answered)
        tap(R.id.nav_benchmark)
        tap(R.id.benchmark_button)
        waitFor("a run") { words().any { it.startsWith("Run ") } }
        close()
        Thread.sleep(200) // the run that had begun
        val runs = TestApplication.runs.get()
        Thread.sleep(500)
        settle()
        assertEquals(runs, TestApplication.runs.get())
        TestApplication.runMs = 0
        launch()
        assertTrue(activity.getString(R.string.classify_empty) in words())
        assertNull((activity.findViewById<ImageView>(R.id.picture).drawable as BitmapDrawable).bitmap)
        tap(R.id.nav_benchmark)
        assertTrue(activity.getString(R.string.benchmark_start) in words())
    }
}
