package org.vitconv.demo

import android.content.Intent
import android.graphics.Bitmap
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.annotation.Config
import java.io.ByteArrayOutputStream

/** The oldest Android that the app runs on: what is newer must not be reached there. */
@Config(sdk = [26])
class MinSdkTest : ScreenTests() {
    @Test
    fun `what was shared and is no address is no crash`() {
        launch(Intent(Intent.ACTION_SEND).setType("image/png").putExtra(Intent.EXTRA_STREAM, android.os.Bundle()))
        waitFor("a refusal") { activity.getString(R.string.picture_cannot_open) in words() }
    }

    @Test
    fun `every screen works on the oldest Android`() {
        val out = ByteArrayOutputStream()
        Bitmap.createBitmap(80, 60, Bitmap.Config.ARGB_8888).compress(Bitmap.CompressFormat.PNG, 100, out)
        launch(Intent(Intent.ACTION_SEND).setType("image/png").putExtra(Intent.EXTRA_STREAM, offered(out.toByteArray())))
        waitFor("an answer") { "tulips" in words() }
        tap(R.id.nav_live)
        tap(R.id.nav_models)
        tap(R.id.nav_selftest)
        tap(R.id.selftest_button)
        waitFor("the verdict") { activity.getString(R.string.selftest_failed) in words() }
        tap(R.id.nav_benchmark)
        tap(R.id.benchmark_button)
        waitFor("the table") { activity.getString(R.string.row_p95) in words() }
        assertTrue(DeviceMachine(activity).thermalStatus() == null)
    }
}
