package org.vitconv.demo.ui

import android.content.Intent
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.TextView
import org.vitconv.core.Accelerator
import org.vitconv.core.BenchmarkDocument
import org.vitconv.core.Documents
import org.vitconv.core.FileTiming
import org.vitconv.core.FileTitle
import org.vitconv.core.RunOptions
import org.vitconv.core.screens.BenchmarkState
import org.vitconv.demo.MainActivity
import org.vitconv.demo.R

/** How fast the selected model is on this device. */
class BenchmarkScreen(activity: MainActivity, parent: ViewGroup) : Screen(activity, R.layout.benchmark, parent) {
    private val texts = Texts(activity)
    private val choice: View = find(R.id.benchmark_choice)
    private val button: Button = find(R.id.benchmark_button)
    private val progress: ProgressBar = find(R.id.benchmark_progress)
    private val message: TextView = find(R.id.benchmark_message)
    private val results: LinearLayout = find(R.id.benchmark_results)
    private val share: Button = find(R.id.benchmark_share)
    private val comparison: View = find(R.id.benchmark_comparison)
    private val comparedNames: TextView = find(R.id.benchmark_common)
    private val comparedBars = Bars(find(R.id.benchmark_bars), texts)
    private val accelerators: List<Accelerator> get() = screens.accelerators
    private val threads = listOf(1, 2, 4, 8).filter { it == 1 || it <= Runtime.getRuntime().availableProcessors() }

    override fun onShow() {
        val chosen = screens.models.state.value.models.options
        offer(R.id.benchmark_with, accelerators, chosen.accelerator, texts::accelerator) { options { copy(accelerator = it) } }
        offer(R.id.benchmark_threads, threads, chosen.threads, Int::toString) { options { copy(threads = it) } }
        offer(R.id.benchmark_runs, RUNS, screens.models.state.value.models.runs, Int::toString, screens.models::timeIn)
        follow(screens.benchmarks.state, ::draw)
    }

    private fun options(change: RunOptions.() -> RunOptions) =
        screens.models.runWith(screens.models.state.value.models.options.change())

    private fun draw(state: BenchmarkState) {
        val document = (state as? BenchmarkState.Done)?.document
        val running = state as? BenchmarkState.Running
        view.keepScreenOn = running != null
        choice.show(running == null && state != BenchmarkState.NoModel)
        button.setText(
            when (state) {
                BenchmarkState.NoModel -> R.string.open_models
                is BenchmarkState.Choosing -> R.string.benchmark_start
                is BenchmarkState.Running -> R.string.stop
                is BenchmarkState.Done, is BenchmarkState.Failed, BenchmarkState.Interrupted -> R.string.benchmark_again
            },
        )
        button.setOnClickListener {
            when {
                state == BenchmarkState.NoModel -> activity.openModels()
                running == null -> screens.benchmarks.start()
                else -> screens.benchmarks.stop()
            }
        }
        progress.show(running != null)
        running?.let {
            progress.max = it.total
            progress.progress = it.done
        }
        message.text = when (state) {
            BenchmarkState.NoModel -> activity.getText(R.string.no_model)
            is BenchmarkState.Running -> activity.getString(R.string.benchmark_running, state.done, state.total)
            is BenchmarkState.Failed -> texts.problem(state.name, state.problem)
            is BenchmarkState.Done -> state.change?.let { texts.change(it, state.document.files.first().path) }
            BenchmarkState.Interrupted -> activity.getText(R.string.benchmark_interrupted)
            is BenchmarkState.Choosing -> null
        }
        message.show(!message.text.isNullOrEmpty())
        message.beError(state is BenchmarkState.Failed)
        results.show(document != null)
        share.show(document != null)
        document?.let(::drawResults)
        val compared = (state as? BenchmarkState.Done)?.compared.orEmpty()
        comparison.show(compared.size > 1)
        val common = compared.map { FileTitle.of(it.path).common }.distinct().singleOrNull()
        comparedNames.text = common
        comparedNames.show(common != null)
        comparedBars.drawTimes(compared, withCommonName = common == null)
    }

    private fun drawResults(document: BenchmarkDocument) {
        results.removeAllViews()
        for (file in document.files) {
            results.addView(title(FileTitle.of(file.path).whole))
            row(R.string.benchmark_with, Accelerator.ofId(file.delegate)?.let(texts::accelerator) ?: file.delegate)
            row(R.string.benchmark_threads, file.threads.toString())
            row(R.string.benchmark_runs, file.runs.toString())
            row(R.string.row_median, texts.ms(file.p50Ms))
            row(R.string.row_p90, texts.ms(file.p90Ms))
            row(R.string.row_p95, texts.ms(file.p95Ms))
            row(R.string.row_first, texts.ms(file.firstMs))
            row(R.string.row_load, texts.ms(file.initMs))
            row(R.string.row_memory, texts.mb(file.modelMemoryMb))
            row(R.string.row_peak, texts.mb(file.peakMemoryMb))
            row(R.string.row_delegated, delegated(file))
        }
        val (before, after) = document.thermal
        val told = before != null && after != null
        val heat = if (told) activity.getString(R.string.heat_change, texts.heat(before), texts.heat(after)) else activity.getString(R.string.unknown)
        row(R.string.row_heat, heat)
        share.setOnClickListener { share(document) }
    }

    private fun delegated(file: FileTiming): String {
        val delegated = file.delegatedNodes ?: return activity.getString(R.string.delegated_unknown)
        if (delegated == 0) return activity.getString(R.string.delegated_none, file.nodes)
        return activity.getString(R.string.delegated_some, delegated, file.nodes, file.partitions ?: 0)
    }

    private fun row(title: Int, value: String) {
        val row = activity.layoutInflater.inflate(R.layout.table_row, results, false)
        row.findViewById<TextView>(R.id.row_title).setText(title)
        row.findViewById<TextView>(R.id.row_details).text = value
        results.addView(row)
    }

    private fun title(text: String) = TextView(activity, null, 0, R.style.Text_Strong).apply { this.text = text }

    private fun share(document: BenchmarkDocument) {
        val json = Documents.encodeToString(BenchmarkDocument.serializer(), document)
        val send = Intent(Intent.ACTION_SEND).setType("application/json").putExtra(Intent.EXTRA_TEXT, json)
        activity.show(Intent.createChooser(send, null))
    }

    private companion object {
        val RUNS = listOf(10, 50, 200)
    }
}
