package org.vitconv.demo

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.drawable.BitmapDrawable
import android.view.View
import android.widget.ImageView
import android.widget.ProgressBar
import android.widget.Spinner
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.vitconv.classifier.BitmapPixels
import org.vitconv.core.Confidence
import org.vitconv.core.ImageSpec
import org.vitconv.core.PixelSource
import org.vitconv.core.Resampler
import org.vitconv.core.ResizeRule

/** Below an answer: what it rests on, and how sure it has to be. */
class ReasonsTest : ScreenTests() {
    private fun text(id: Int, vararg values: Any) = activity.getString(id, *values)

    private fun shown(id: Int) = activity.findViewById<View>(id).visibility == View.VISIBLE

    private fun answer() {
        launch(share(offered(flower)))
        waitFor("an answer") { "tulips" in words() }
    }

    /** The picture on the screen as it is drawn there. */
    private fun picture(): Bitmap {
        val view = activity.findViewById<ImageView>(R.id.picture)
        return Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888).also { view.draw(Canvas(it)) }
    }

    /** The more red there is, the surer it is of tulips; grass speaks for daisies. */
    private fun redness(picture: PixelSource): FloatArray {
        val row = IntArray(picture.width)
        var red = 0
        for (y in 0 until picture.height) {
            picture.readRow(y, row)
            red += row.count { Color.red(it) > 170 && Color.green(it) < 120 } - row.count { Color.green(it) > Color.red(it) + 30 } / 8
        }
        val share = (20f * red / (picture.width * picture.height)).coerceIn(0f, 0.9f)
        return floatArrayOf(0.02f, 0.9f - share, share, 0.03f, 0.05f)
    }

    @Test
    fun `what an answer rests on is drawn over the picture`() {
        TestApplication.probabilities = ::redness
        answer()
        val before = picture()
        tap(R.id.reasons_button)
        waitFor("a map") { text(R.string.reasons_hide) in words() }
        screenshot("classify-reasons")
        assertTrue("${words()}", words().any { it.startsWith("Covering a warm part makes “tulips” less probable, from ") })
        val map = picture()
        assertEquals(text(R.string.reasons_picture), activity.findViewById<View>(R.id.picture).contentDescription)
        // The flower is warm, the sky cold: covering the picture's edge shows more of the mean colour, not of red.
        val middle = map.getPixel(map.width / 2, (map.height * 0.43).toInt())
        assertTrue(Integer.toHexString(middle), Color.red(middle) > Color.blue(middle) + 60)
        val corner = map.getPixel(map.width / 4, map.height / 8)
        assertTrue(Integer.toHexString(corner), Color.red(corner) < Color.blue(corner))
        tap(R.id.reasons_button)
        assertTrue(before.sameAs(picture()))
        assertFalse(shown(R.id.reasons_text))
    }

    @Test
    fun `where no part matters that is said`() {
        answer()
        tap(R.id.reasons_button)
        waitFor("a map") { text(R.string.reasons_nothing, "tulips", "87.1%") in words() }
    }

    private fun given(rule: ResizeRule, words: Int) {
        TestApplication.resize = rule
        answer()
        assertTrue("${words()}", text(words, 32, 32) in words())
        val drawable = activity.findViewById<ImageView>(R.id.seen_picture).drawable as BitmapDrawable
        val given = ByteArray(32 * 32 * 3)
        Resampler(ImageSpec(32, 32, resize = rule)).resample(BitmapPixels(BitmapFactory.decodeByteArray(flower, 0, flower.size)), given)
        val shown = IntArray(32 * 32).also { drawable.bitmap.getPixels(it, 0, 32, 0, 0, 32, 32) }
        assertEquals(given.toList(), shown.flatMap { listOf(Color.red(it), Color.green(it), Color.blue(it)).map(Int::toByte) })
        assertFalse(drawable.isFilterBitmap)
    }

    @Test
    fun `what the model was given is shown with its size, and every pixel of it`() {
        given(ResizeRule.STRETCH, R.string.seen_whole)
        send(share(offered(flower.copyOf(2000), "broken.jpg")))
        waitFor("a refusal") { text(R.string.picture_broken) in words() }
        assertFalse(shown(R.id.seen))
    }

    @Test
    fun `where something was cut off for the model that is said`() = given(ResizeRule.CENTER_CROP, R.string.seen_part)

    @Test
    fun `looking can be stopped`() {
        TestApplication.gate = Gate(1 + 10)
        answer()
        tap(R.id.reasons_button)
        waitFor("progress") { activity.findViewById<ProgressBar>(R.id.reasons_progress).progress == 10 }
        assertTrue(text(R.string.stop) in words())
        tap(R.id.reasons_button)
        assertTrue(text(R.string.reasons_show) in words())
        assertFalse(shown(R.id.reasons_progress))
    }

    @Test
    fun `none of these is said within the error rate that was chosen, and the choice stays`() {
        TestApplication.confidence = Confidence(1.5, 0.001, listOf(Confidence.Threshold(0.01, 0.95), Confidence.Threshold(0.1, 0.6)))
        answer()
        val spinner = activity.findViewById<Spinner>(R.id.wrong_answers)
        assertEquals(listOf("any number", "at most 1.0%", "at most 10.0%"), List(spinner.count) { spinner.getItemAtPosition(it) })
        assertEquals(0, spinner.selectedItemPosition)
        assertTrue("87.1%" in words())
        spinner.setSelection(1)
        waitFor("an answer") { text(R.string.none_of_these) in words() }
        settle()
        screenshot("classify-none")
        assertFalse("${words()}", "87.1%" in words())
        spinner.setSelection(2)
        waitFor("an answer") { text(R.string.none_of_these) !in words() && "tulips" in words() }
        assertFalse("${words()}", "87.1%" in words())
        recreate()
        waitFor("an answer") { "tulips" in words() }
        assertEquals(2, activity.findViewById<Spinner>(R.id.wrong_answers).selectedItemPosition)
    }

    @Test
    fun `a file that says nothing of its confidence offers no error rate`() {
        answer()
        assertFalse(shown(R.id.wrong_answers_row))
    }
}
