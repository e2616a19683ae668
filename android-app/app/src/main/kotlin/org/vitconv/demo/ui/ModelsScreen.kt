package org.vitconv.demo.ui

import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import org.vitconv.core.FileTitle
import org.vitconv.core.screens.ModelEntry
import org.vitconv.core.screens.Models
import org.vitconv.core.screens.ModelsState
import org.vitconv.demo.MainActivity
import org.vitconv.demo.R

/** The bundled models and those that the user opened. */
class ModelsScreen(activity: MainActivity, parent: ViewGroup) : Screen(activity, R.layout.models, parent) {
    private val texts = Texts(activity)
    private val empty: View = find(R.id.models_empty)
    private val list: LinearLayout = find(R.id.models_list)
    private val status: TextView = find(R.id.models_status)

    override fun onShow() {
        find<Button>(R.id.models_open).setOnClickListener { activity.openFile() }
        follow(screens.models.state, ::draw)
    }

    override fun onHide() = screens.models.acknowledge()

    private fun draw(state: ModelsState) {
        drawList(state.models)
        val words = when (state) {
            is ModelsState.Ready -> null
            is ModelsState.Opening -> activity.getString(R.string.models_opening, state.name)
            is ModelsState.Refused -> activity.getString(R.string.models_refused, state.name, texts.problem(state.problem))
        }
        status.text = words
        status.show(words != null)
        status.beError(state is ModelsState.Refused)
    }

    private fun drawList(models: Models) {
        empty.show(models.entries.isEmpty())
        list.removeAllViews()
        var common: String? = null
        for (model in models.entries) {
            val title = FileTitle.of(model.name)
            if (title.common != common) {
                common = title.common
                title.common?.let { list.addView(heading(it)) }
            }
            val row = activity.layoutInflater.inflate(R.layout.model_row, list, false)
            row.findViewById<TextView>(R.id.row_title).apply {
                text = title.own
                // A sign as well, so that colour is not all that tells.
                if (model == models.selected) setCompoundDrawablesRelativeWithIntrinsicBounds(0, 0, R.drawable.chosen, 0)
            }
            row.findViewById<TextView>(R.id.row_details).text = details(model, models)
            row.isSelected = model == models.selected
            row.setOnClickListener { screens.models.select(model) }
            list.addView(row)
        }
    }

    private fun details(model: ModelEntry, models: Models): String = listOfNotNull(
        texts.megabytes(model.bytes),
        models.speeds[model]?.let { activity.getString(R.string.models_speed, texts.number(it)) },
        activity.getString(R.string.models_opened).takeIf { model.source == ModelEntry.Source.Opened },
    ).joinToString(" · ")
}
