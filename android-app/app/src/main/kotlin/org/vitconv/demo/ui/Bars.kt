package org.vitconv.demo.ui

import android.view.LayoutInflater
import android.view.View
import android.view.ViewGroup
import android.widget.ProgressBar
import android.widget.TextView
import org.vitconv.core.Ranked
import org.vitconv.demo.R

/** The best classes as bars in [parent]; its rows are made once and filled anew. */
class Bars(private val parent: ViewGroup, private val texts: Texts) {
    private class Row(val view: View) {
        val label: TextView = view.findViewById(R.id.bar_label)
        val percent: TextView = view.findViewById(R.id.bar_percent)
        val progress: ProgressBar = view.findViewById(R.id.bar_progress)
    }

    private val rows = mutableListOf<Row>()

    fun draw(best: List<Ranked>) {
        while (rows.size < best.size) {
            val view = LayoutInflater.from(parent.context).inflate(R.layout.bar, parent, false)
            parent.addView(view)
            rows += Row(view)
        }
        rows.forEachIndexed { index, row ->
            val ranked = best.getOrNull(index)
            row.view.show(ranked != null)
            if (ranked != null) row.fill(ranked)
        }
    }

    private fun Row.fill(ranked: Ranked) {
        val share = texts.percent(ranked.probability.toDouble())
        label.text = ranked.label
        percent.text = share
        progress.progress = if (ranked.probability.isNaN()) 0 else (ranked.probability * progress.max).toInt()
        view.contentDescription = view.context.getString(R.string.bar_description, ranked.label, share)
    }
}
