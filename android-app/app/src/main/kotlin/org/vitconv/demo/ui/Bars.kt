package org.vitconv.demo.ui

import android.view.LayoutInflater
import android.view.View
import android.view.ViewGroup
import android.widget.ProgressBar
import android.widget.TextView
import org.vitconv.core.FileTitle
import org.vitconv.core.Ranked
import org.vitconv.core.screens.Timed
import org.vitconv.demo.R

/** Classes, or times, as bars in [parent]; its rows are made once and filled anew. */
class Bars(private val parent: ViewGroup, private val texts: Texts) {
    private class Row(val view: View) {
        val label: TextView = view.findViewById(R.id.bar_label)
        val percent: TextView = view.findViewById(R.id.bar_percent)
        val progress: ProgressBar = view.findViewById(R.id.bar_progress)
    }

    private val rows = mutableListOf<Row>()

    fun draw(best: List<Ranked>) = show(best) { ranked ->
        val share = texts.percent(ranked.probability.toDouble())
        fill(ranked.label, share, if (ranked.probability.isNaN()) 0.0 else ranked.probability.toDouble())
    }

    /** Times beside each other: the slowest has the whole length. What names have in common is always said aloud. */
    fun drawTimes(times: List<Timed>, withCommonName: Boolean) {
        val slowest = times.maxOfOrNull { it.medianMs } ?: 1.0
        show(times) {
            val title = FileTitle.of(it.path)
            val how = texts.runWith(it.options)
            fill("${title.whole}\n$how", texts.ms(it.medianMs), it.medianMs / slowest)
            if (!withCommonName) label.text = "${title.own}\n$how"
        }
    }

    private fun <T : Any> show(all: List<T>, fill: Row.(T) -> Unit) {
        while (rows.size < all.size) {
            val view = LayoutInflater.from(parent.context).inflate(R.layout.bar, parent, false)
            parent.addView(view)
            rows += Row(view)
        }
        rows.forEachIndexed { index, row ->
            val one = all.getOrNull(index)
            row.view.show(one != null)
            if (one != null) row.fill(one)
        }
    }

    private fun Row.fill(name: String, value: String, length: Double) {
        label.text = name
        percent.text = value
        progress.progress = (length * progress.max).toInt()
        view.contentDescription = view.context.getString(R.string.bar_description, name.replace("\n", ", "), value)
    }
}
