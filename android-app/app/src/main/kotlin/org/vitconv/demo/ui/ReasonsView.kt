package org.vitconv.demo.ui

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.ColorMatrix
import android.graphics.ColorMatrixColorFilter
import android.graphics.Paint
import android.graphics.RectF
import android.view.View
import android.widget.Button
import android.widget.ProgressBar
import android.widget.TextView
import org.vitconv.core.Occlusion
import org.vitconv.core.screens.ClassifyState
import org.vitconv.core.screens.Reasons
import org.vitconv.demo.R

/** Below an answer: a button that asks what it rests on, how far that is, and words for the map. */
class ReasonsView(parent: View, private val texts: Texts) {
    private val text: TextView = parent.findViewById(R.id.reasons_text)
    private val progress: ProgressBar = parent.findViewById(R.id.reasons_progress)
    private val button: Button = parent.findViewById(R.id.reasons_button)

    /** [answered] is null where there is no answer to ask about. */
    fun draw(answered: ClassifyState.Answered<*>?, explain: () -> Unit, forget: () -> Unit) {
        val reasons = answered?.reasons
        val map = (reasons as? Reasons.Found)?.map
        val best = answered?.verdict?.best?.firstOrNull()
        button.show(best != null)
        button.setText(
            when (reasons) {
                null -> R.string.reasons_show
                is Reasons.Looking -> R.string.stop
                is Reasons.Found -> R.string.reasons_hide
            },
        )
        button.setOnClickListener { if (reasons == null) explain() else forget() }
        progress.show(reasons is Reasons.Looking)
        (reasons as? Reasons.Looking)?.let {
            progress.max = it.count
            progress.progress = it.done
        }
        text.text = if (map != null && best != null) words(best.label, map) else null
        text.show(map != null)
    }

    private fun words(label: String, map: Occlusion): String {
        val (before, least) = texts.percent(map.probability) to texts.percent(map.probability - map.drops.max())
        val context = text.context
        return if (before == least) context.getString(R.string.reasons_nothing, label, before)
        else context.getString(R.string.reasons_text, label, before, least)
    }

    /** The picture in grey under its map, with sides of at most [LARGEST] pixels. What the model did not see stays grey. */
    fun drawn(picture: Bitmap, map: Occlusion): Bitmap {
        val factor = minOf(1f, LARGEST / maxOf(picture.width, picture.height).toFloat())
        val (width, height) = listOf(picture.width, picture.height).map { maxOf(1, Math.round(it * factor)) }
        val drawn = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
        val grey = Paint(Paint.FILTER_BITMAP_FLAG).apply { colorFilter = ColorMatrixColorFilter(ColorMatrix().apply { setSaturation(0f) }) }
        val overlay = Bitmap.createBitmap(map.overlay, map.image.width, map.image.height, Bitmap.Config.ARGB_8888)
        val seen = map.image.sourceBox(picture.width, picture.height)
            .run { RectF(left * factor, top * factor, right * factor, bottom * factor) }
        Canvas(drawn).apply {
            drawBitmap(picture, null, RectF(0f, 0f, width.toFloat(), height.toFloat()), grey)
            drawBitmap(overlay, null, seen, Paint(Paint.FILTER_BITMAP_FLAG))
        }
        return drawn
    }

    private companion object {
        const val LARGEST = 1024
    }
}
