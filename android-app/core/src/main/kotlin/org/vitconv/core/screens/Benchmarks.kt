package org.vitconv.core.screens

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.combine
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.launch
import kotlinx.serialization.Serializable
import org.vitconv.core.Accelerator
import org.vitconv.core.ArrayPixels
import org.vitconv.core.BenchmarkDocument
import org.vitconv.core.Delegation
import org.vitconv.core.Device
import org.vitconv.core.Documents
import org.vitconv.core.FileTiming
import org.vitconv.core.ImageSpec
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem
import org.vitconv.core.PixelSource
import org.vitconv.core.RunOptions
import org.vitconv.core.Statistics
import org.vitconv.core.Thermal
import org.vitconv.core.readOrNull
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

/** How fast a file was when it was last run like this. */
@Serializable
data class Timed(val path: String, val options: RunOptions, val medianMs: Double)

/** State of the benchmark's screen. */
@Serializable
sealed interface BenchmarkState {
    @Serializable
    data object NoModel : BenchmarkState

    /** [available] is what this device can run models with. */
    @Serializable
    data class Choosing(val available: List<Accelerator>) : BenchmarkState

    @Serializable
    data class Running(val done: Int, val total: Int) : BenchmarkState

    /**
     * [change] is what else than the user's choice was timed. [compared] is what was timed since the app was started,
     * this one included, the fastest first.
     */
    @Serializable
    data class Done(
        val document: BenchmarkDocument,
        val change: Plan.Change? = null,
        val compared: List<Timed> = emptyList(),
    ) : BenchmarkState

    @Serializable
    data class Failed(val name: String, val problem: ModelProblem) : BenchmarkState

    /** The app went to the background, where Android gives it little of the processor. */
    @Serializable
    data object Interrupted : BenchmarkState
}

/** Times models on this device. [kept] is what [toKeep] gave before the app was ended. */
class Benchmarks(
    private val engine: Engine,
    private val selection: ModelSelection,
    private val machine: Machine,
    private val available: List<Accelerator>,
    private val scope: CoroutineScope,
    kept: String? = null,
) {
    @Serializable
    private class Kept(val state: BenchmarkState, val timed: List<Timed>)

    /** Null where nothing was kept, or by a version that kept something else. */
    private val before = kept?.let { readOrNull(Kept.serializer(), it) }
    private val states = MutableStateFlow(before?.state?.takeUnless { it is BenchmarkState.Choosing } ?: BenchmarkState.Choosing(available))
    private var work: Job? = null
    private var timed: List<Timed> = before?.timed.orEmpty()

    /** What there is to see; that there is no model is over as soon as one is opened. */
    val state: Flow<BenchmarkState> = combine(states, selection.state) { state, models ->
        if (state is BenchmarkState.Choosing && models.models.selected == null) BenchmarkState.NoModel else state
    }.distinctUntilChanged()

    /** What is on the screen, and what is compared there. A run does not outlive its process: it was interrupted. */
    fun toKeep(): String {
        val state = states.value.let { if (it is BenchmarkState.Running) BenchmarkState.Interrupted else it }
        return Documents.encodeToString(Kept.serializer(), Kept(state, timed))
    }

    /** Times the selected model as the user chose; on the GPU, its file for the GPU. */
    fun start() {
        val model = selection.selected
        val planned = selection.planned()
        if (model == null || planned == null || work?.isActive == true) return
        val asked = selection.state.value.models.options.accelerator
        val stopped = work
        val runs = selection.state.value.models.runs
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
                val file = document.files.single()
                val latest = Timed(file.path, planned.options, file.p50Ms)
                timed = timed.filterNot { it.path == latest.path && it.options == latest.options } + latest
                BenchmarkState.Done(document, planned.change, timed.sortedBy { it.medianMs })
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
     * Times [models], these very files, [runs] times each after [WARM_UP] runs. Only one is loaded at a time. Several
     * take turns, half of the runs in their order and half in the opposite one: what slows the device down from the
     * beginning to the end slows all of them alike.
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
        val measured = tasks.map { Measured(it, machine) }
        val back = if (tasks.size == 1) 0 else runs / 2
        engine.exclusively { loader ->
            for (one in measured) one.run(loader, runs - back, progress)
            if (back > 0) for (one in measured.asReversed()) one.run(loader, back, progress)
        }
        val device = machine.device
        return BenchmarkDocument(
            machine = "${device.processor}, ${device.cores} cores, Android ${device.android} ${device.abi}",
            runtime = "${machine.runtime}, ${asked.id}",
            tool = machine.tool,
            delegate = asked.id,
            device = device,
            thermal = Thermal(before, machine.thermalStatus()),
            files = measured.map { it.timing(alone = tasks.size == 1) },
        )
    }

    /** What is found out of one file. */
    private class Measured(private val task: Task, private val machine: Machine) {
        private class Loaded(val loadMs: Double, val firstMs: Double, val memoryMb: Double?, val delegation: Delegation)

        private val samples = mutableListOf<Double>()
        private lateinit var first: Loaded

        suspend fun run(loader: ClassifierLoader, runs: Int, progress: (done: Int) -> Unit) {
            val memoryBefore = machine.nativeMemoryMb()
            loader.load(task.plan.model, task.plan.options).use { classifier ->
                val firstMs = classifier.classify(noise(classifier.info.image)).inferenceMs
                if (samples.isEmpty()) {
                    val memoryAfter = machine.nativeMemoryMb()
                    val memory = if (memoryBefore == null || memoryAfter == null) null else memoryAfter - memoryBefore
                    first = Loaded(classifier.loadMs, firstMs, memory, classifier.delegation)
                }
                repeat(WARM_UP + runs) { round ->
                    coroutineContext.ensureActive()
                    val ms = classifier.run()
                    if (round >= WARM_UP) {
                        samples += ms
                        progress(samples.size)
                    }
                }
            }
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
                initMs = first.loadMs,
                firstMs = first.firstMs,
                meanMs = statistics.mean,
                minMs = statistics.min,
                p50Ms = statistics.percentile(50.0),
                p50LowMs = low,
                p50HighMs = high,
                p90Ms = statistics.percentile(90.0),
                p95Ms = statistics.percentile(95.0),
                peakMemoryMb = if (alone) machine.peakMemoryMb() else null,
                modelMemoryMb = first.memoryMb,
                nodes = first.delegation.nodes,
                delegatedNodes = first.delegation.delegatedNodes,
                partitions = first.delegation.partitions,
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
