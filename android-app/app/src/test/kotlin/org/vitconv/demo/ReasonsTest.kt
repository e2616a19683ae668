package org.vitconv.demo

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.view.View
import android.widget.ImageView
import android.widget.ProgressBar
import android.widget.Spinner
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.vitconv.core.Confidence
import org.vitconv.core.PixelSource

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
