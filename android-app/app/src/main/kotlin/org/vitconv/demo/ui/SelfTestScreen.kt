package org.vitconv.demo.ui

import android.view.ViewGroup
import android.widget.Button
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.TextView
import org.vitconv.core.FileCheck
import org.vitconv.core.FileTitle
import org.vitconv.core.screens.SelfTestState
import org.vitconv.demo.MainActivity
import org.vitconv.demo.R

/** Every bundled model against Keras on the golden images. */
class SelfTestScreen(activity: MainActivity, parent: ViewGroup) : Screen(activity, R.layout.selftest, parent) {
    private val texts = Texts(activity)
    private val button: Button = find(R.id.selftest_button)
    private val progress: ProgressBar = find(R.id.selftest_progress)
    private val verdict: TextView = find(R.id.selftest_verdict)
    private val results: LinearLayout = find(R.id.selftest_results)

    override fun onShow() = follow(screens.selfTests.state, ::draw)

    private fun draw(state: SelfTestState) {
        val running = state as? SelfTestState.Running
        val done = (state as? SelfTestState.Done)?.document
        val nothing = state == SelfTestState.NothingToTest
        button.setText(if (nothing) R.string.open_models else if (running != null) R.string.stop else R.string.selftest_start)
        button.setOnClickListener {
            when {
                nothing -> activity.openModels()
                running != null -> screens.selfTests.stop()
                else -> screens.selfTests.start()
            }
        }
        progress.show(running != null)
        running?.let {
            progress.max = it.files
            progress.progress = it.done.size
        }
        verdict.text = when (state) {
            SelfTestState.NothingToTest -> activity.getText(R.string.selftest_nothing)
            is SelfTestState.Ready -> null
            is SelfTestState.Running -> FileTitle.of(state.current).run { if (isAlreadyBelow(state.done)) own else whole }
            is SelfTestState.Failed -> activity.getString(R.string.selftest_unreadable, state.reason)
            is SelfTestState.Done ->
                activity.getText(if (state.document.passed) R.string.selftest_passed else R.string.selftest_failed)
        }
        verdict.setTextColor(activity.getColor(if (done == null) R.color.text else colour(done.passed)))
        verdict.show(!verdict.text.isNullOrEmpty())
        verdict.beError(state is SelfTestState.Failed)
        drawResults(done?.files ?: running?.done.orEmpty())
    }

    /** Whether what this has in common with others stands above those that are [done]. */
    private fun FileTitle.isAlreadyBelow(done: List<FileCheck>) = common != null && done.any { FileTitle.of(it.path).common == common }

    private fun drawResults(files: List<FileCheck>) {
        results.removeAllViews()
        var common: String? = null
        for (file in files) {
            val title = FileTitle.of(file.path)
            if (title.common != common) {
                common = title.common
                title.common?.let { results.addView(heading(it)) }
            }
            val row = activity.layoutInflater.inflate(R.layout.selftest_row, results, false)
            row.findViewById<TextView>(R.id.row_title).text = title.own
            row.findViewById<TextView>(R.id.row_verdict).apply {
                // A sign beside the word, so that colour is not all that tells them apart.
                text = if (file.passed) "✓ ${activity.getString(R.string.passed)}" else "✗ ${activity.getString(R.string.failed)}"
                setTextColor(activity.getColor(colour(file.passed)))
            }
            val figures = activity.getString(
                R.string.selftest_figures,
                texts.percent(file.agreement),
                file.images,
                texts.number(file.maxAbsError, 4),
            )
            val told = if (file.images > 0) listOf(figures) else emptyList() // of a file that did not run there are none
            row.findViewById<TextView>(R.id.row_details).text = (told + file.problems.map(texts::problem)).joinToString("\n")
            results.addView(row)
        }
    }

    private fun colour(passed: Boolean) = if (passed) R.color.good else R.color.bad
}
