package org.vitconv.demo.core.screens

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.combine
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.launch
import org.vitconv.demo.core.Accelerator
import org.vitconv.demo.core.ArrayPixels
import org.vitconv.demo.core.BenchmarkDocument
import org.vitconv.demo.core.Classifier
import org.vitconv.demo.core.Device
import org.vitconv.demo.core.FileTiming
import org.vitconv.demo.core.ImageSpec
import org.vitconv.demo.core.ModelException
import org.vitconv.demo.core.ModelProblem
import org.vitconv.demo.core.PixelSource
import org.vitconv.demo.core.RunOptions
import org.vitconv.demo.core.Statistics
import org.vitconv.demo.core.TaskRequest
import org.vitconv.demo.core.Thermal
import kotlin.coroutines.coroutineContext
import kotlin.random.Random

/** What a benchmark needs to know of the machine that it runs on. */
interface Machine {
    val device: Device

    /** The runtime's name and version. */
    val runtime: String

    /** The app's name and version. */
    val tool: String

    /** Android's thermal status, null where it isn't told. */
    fun thermalStatus(): String?

    /** MiB that the process holds in native memory now. */
    fun nativeMemoryMb(): Double?

    /** MiB that the process held at most. */
    fun peakMemoryMb(): Double?
}

/** State of the benchmark's screen. */
sealed interface BenchmarkState {
    data object NoModel : BenchmarkState

    /** [available] is what this device can run models with. */
    data class Choosing(val available: List<Accelerator>) : BenchmarkState

    data class Running(val done: Int, val total: Int) : BenchmarkState

    /** [change] is what else than the user's choice was timed. */
    data class Done(val document: BenchmarkDocument, val change: Plan.Change? = null) : BenchmarkState

    data class Failed(val name: String, val problem: ModelProblem) : BenchmarkState

    /** The app went to the background, where Android gives it little of the processor. */
    data object Interrupted : BenchmarkState
}

/** Times models on this device. */
class Benchmarks(
    private val engine: Engine,
    private val selection: ModelSelection,
    private val machine: Machine,
    private val available: List<Accelerator>,
    private val scope: CoroutineScope,
) {
    private val states = MutableStateFlow<BenchmarkState>(BenchmarkState.Choosing(available))
    private var work: Job? = null

    /** What there is to see; that there is no model is over as soon as one is opened. */
    val state: Flow<BenchmarkState> = combine(states, selection.state) { state, models ->
        if (state is BenchmarkState.Choosing && models.models.selected == null) BenchmarkState.NoModel else state
    }.distinctUntilChanged()

    /** How often the user wants the model run. */
    var runs = TaskRequest.DEFAULT_RUNS

    /** Times the selected model as the user chose; on the GPU, its file for the GPU. */
    fun start() {
        val model = selection.selected
        val planned = selection.planned()
        if (model == null || planned == null || work?.isActive == true) return
        val asked = selection.state.value.models.options.accelerator
        val stopped = work
        val runs = runs
        var shown = BenchmarkState.Running(0, runs)
        states.value = shown
        work = scope.launch {
            stopped?.join()
            states.value = try {
                val document = time(listOf(Task(model, planned)), asked, runs) { done ->
                    // On another thread, where it may be too late: the user has stopped it.
                    val next = BenchmarkState.Running(done, runs)
                    if (states.compareAndSet(shown, next)) shown = next
                }
                BenchmarkState.Done(document, planned.change)
            } catch (error: ModelException) {
                BenchmarkState.Failed(planned.model.name, error.problem)
            }
        }
    }

    /** Stops what runs, and offers the choice anew. */
    fun stop() = end(BenchmarkState.Choosing(available))

    /** The app is no longer seen: what is measured then isn't the device's speed. */
    fun interrupt() {
        if (states.value is BenchmarkState.Running) end(BenchmarkState.Interrupted)
    }

    private fun end(next: BenchmarkState) {
        work?.cancel()
        states.value = next
    }

    /**
     * Times [models], these very files, interleaved, [runs] times each after [WARM_UP] rounds, in an order that changes
     * from round to round: what disturbs the device for a while disturbs all of them alike.
     */
    suspend fun run(models: List<ModelEntry>, options: RunOptions, runs: Int): BenchmarkDocument =
        time(models.map { Task(it, planOfFile(it, options)) }, options.accelerator, runs) {}

    private class Task(val asked: ModelEntry, val plan: Plan)

    private suspend fun time(
        tasks: List<Task>,
        asked: Accelerator,
        runs: Int,
        progress: (done: Int) -> Unit,
    ): BenchmarkDocument {
        val before = machine.thermalStatus()
        val timings = engine.exclusively { load ->
            val running = tasks.map { task -> Measured(task, machine) { load(task.plan.model, task.plan.options) } }
            for (round in -WARM_UP until runs) {
                for (one in running.shuffled(Random(round))) {
                    coroutineContext.ensureActive()
                    one.run(keep = round >= 0)
                }
                if (round >= 0) progress(round + 1)
            }
            running.map { it.timing(alone = tasks.size == 1) }
        }
        val device = machine.device
        return BenchmarkDocument(
            machine = "${device.processor}, ${device.cores} cores, Android ${device.android} ${device.abi}",
            runtime = "${machine.runtime}, ${asked.id}",
            tool = machine.tool,
            delegate = asked.id,
            device = device,
            thermal = Thermal(before, machine.thermalStatus()),
            files = timings,
        )
    }

    private class Measured(private val task: Task, private val machine: Machine, load: () -> Classifier) {
        private val memoryBefore = machine.nativeMemoryMb()
        private val classifier = load()
        private val firstMs = classifier.classify(noise(classifier.info.image)).inferenceMs
        private val memoryAfter = machine.nativeMemoryMb()
        private val samples = mutableListOf<Double>()

        fun run(keep: Boolean) {
            val ms = classifier.run()
            if (keep) samples += ms
        }

        fun timing(alone: Boolean): FileTiming {
            val (model, options) = task.plan
            val statistics = Statistics(samples.toDoubleArray())
            val (low, high) = statistics.medianInterval()
            return FileTiming(
                path = model.name,
                scheme = model.scheme,
                threads = options.threads,
                runs = statistics.count,
                initMs = classifier.loadMs,
                firstMs = firstMs,
                meanMs = statistics.mean,
                minMs = statistics.min,
                p50Ms = statistics.percentile(50.0),
                p50LowMs = low,
                p50HighMs = high,
                p90Ms = statistics.percentile(90.0),
                p95Ms = statistics.percentile(95.0),
                peakMemoryMb = if (alone) machine.peakMemoryMb() else null,
                modelMemoryMb = if (memoryBefore == null || memoryAfter == null) null else memoryAfter - memoryBefore,
                nodes = classifier.delegation.nodes,
                delegatedNodes = classifier.delegation.delegatedNodes,
                partitions = classifier.delegation.partitions,
                delegate = options.accelerator.id,
                note = task.plan.note(task.asked),
            )
        }
    }

    companion object {
        const val WARM_UP = 5

        /** A picture of the model's size whose pixels have every value; what it shows costs no model any time. */
        private fun noise(image: ImageSpec): PixelSource {
            val random = Random(0)
            val pixels = IntArray(image.width * image.height) { random.nextInt() or (255 shl 24) }
            return ArrayPixels(image.width, image.height, pixels)
        }
    }
}
