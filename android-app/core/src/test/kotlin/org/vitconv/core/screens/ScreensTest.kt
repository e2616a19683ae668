package org.vitconv.core.screens

import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.test.StandardTestDispatcher
import kotlinx.coroutines.test.TestScope
import kotlinx.coroutines.test.advanceUntilIdle
import kotlinx.coroutines.test.runTest
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeout
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.vitconv.core.Accelerator
import org.vitconv.core.ArrayPixels
import org.vitconv.core.Confidence
import org.vitconv.core.GoldenImage
import org.vitconv.core.GoldenSet
import org.vitconv.core.GpuCheck
import org.vitconv.core.ImageSpec
import org.vitconv.core.Limits
import org.vitconv.core.ModelProblem
import org.vitconv.core.PixelSource
import org.vitconv.core.ResizeRule
import org.vitconv.core.RunOptions
import java.io.IOException
import java.util.concurrent.Executors

@OptIn(ExperimentalCoroutinesApi::class)
class ScreensTest {
    private val loader = FakeLoader()
    private val models = listOf(bundled("a-float32.tflite", "float32"), bundled("b-int8.tflite", "int8"))

    private fun TestScope.engine() = Engine(loader, StandardTestDispatcher(testScheduler))

    // --- engine ---

    @Test
    fun `a classifier is kept until another is asked for`() = runTest {
        val engine = engine()
        repeat(2) { engine.use(models[0]) {} }
        assertEquals(1, loader.made.size)
        engine.use(models[0], RunOptions(threads = 2)) {}
        assertEquals(listOf(true, false), loader.made.map { it.closed })
    }

    @Test
    fun `a file of the same name and size with other weights is another model`() = runTest {
        val engine = engine()
        val before = ModelEntry("mine.tflite", null, 5, ModelEntry.Source.Opened, sha256 = "a")
        engine.use(before) {}
        engine.use(before.copy(sha256 = "b")) {}
        assertEquals(listOf(true, false), loader.made.map { it.closed })
    }

    @Test
    fun `a measurement has the machine for itself`() = runTest {
        val engine = engine()
        engine.use(models[0]) {}
        engine.exclusively { own ->
            own.load(models[1], RunOptions())
            assertEquals(listOf(true, false), loader.made.map { it.closed })
        }
    }

    // --- models ---

    @Test
    fun `the integer model is the first choice`() = runTest {
        assertEquals(models[1], ModelSelection(models, engine()).selected)
        assertEquals(null, ModelSelection(emptyList(), engine()).selected)
    }

    @Test
    fun `a file that works is listed and selected`() = runTest {
        val selection = ModelSelection(models, engine())
        val opened = ModelEntry("mine.tflite", null, 5, ModelEntry.Source.Opened)
        selection.open("mine.tflite") { opened }
        assertEquals(opened, selection.selected)
        selection.open("mine.tflite") { opened }
        assertEquals(models + opened, selection.state.value.models.entries)
    }

    @Test
    fun `a file of the same name takes the other's place, whose copy is then forgotten`() = runTest {
        val selection = ModelSelection(models, engine())
        val first = ModelEntry("mine.tflite", null, 5, ModelEntry.Source.Opened, sha256 = "a")
        val second = first.copy(sha256 = "b")
        val forgotten = mutableListOf<ModelEntry>()
        for (file in listOf(first, second, second)) selection.open("mine.tflite", { forgotten += it }) { file }
        assertEquals(models + second, selection.state.value.models.entries)
        assertEquals(listOf(first), forgotten)
    }

    @Test
    fun `a broken file takes nobody's place, and its copy is forgotten`() = runTest {
        val selection = ModelSelection(models, engine())
        val broken = ModelEntry("bad.tflite", null, 5, ModelEntry.Source.Opened, sha256 = "b")
        val forgotten = mutableListOf<ModelEntry>()
        selection.open("bad.tflite", { forgotten += it }) { broken }
        assertEquals(models, selection.state.value.models.entries)
        assertEquals(listOf(broken), forgotten)
    }

    @Test
    fun `an opened file with a bundled one's content is no better on the GPU than that one`() = runTest {
        val refused = bundled("a.tflite").copy(sha256 = "a", gpu = GpuCheck(false))
        val selection = ModelSelection(listOf(refused), engine())
        selection.open("copy.tflite") { ModelEntry("copy.tflite", null, 5, ModelEntry.Source.Opened, sha256 = "a") }
        assertEquals(GpuCheck(false), selection.selected?.gpu)
        val later = ModelSelection(selection.state.value.models.entries.map { it.copy(gpu = it.gpu.takeIf { _ -> it == refused }) }, engine())
        assertEquals(listOf(false, false), later.state.value.models.entries.map { it.gpu?.fit })
    }

    @Test
    fun `a file that cannot be used changes nothing and says why`() = runTest {
        val selection = ModelSelection(models, engine())
        selection.open("bad.tflite") { ModelEntry("bad.tflite", null, 5, ModelEntry.Source.Opened) }
        val state = selection.state.value as ModelsState.Refused
        assertEquals(ModelProblem.Refused("it is bad"), state.problem)
        assertEquals(models, state.models.entries)
        selection.acknowledge()
        assertTrue(selection.state.value is ModelsState.Ready)
    }

    // --- one picture ---

    @Test
    fun `a picture is decoded, asked about, and answered`() = runTest {
        val engine = engine()
        val selection = ModelSelection(models, engine)
        val classify = Classify<PixelSource>(engine, selection, this)
        assertEquals(ClassifyState.Empty, classify.state.value)
        classify.choose { somePicture }
        advanceUntilIdle()
        val state = classify.state.value as ClassifyState.Answered
        assertEquals("dog", state.verdict.best.first().label)
        assertEquals("b-int8.tflite", state.verdict.model)
        assertEquals(setOf(models[1]), selection.state.value.models.speeds.keys)
    }

    @Test
    fun `what the model was given is told of a picture, and not of a frame`() = runTest {
        // Six pixels across, of which the model takes the four in the middle, two at a time.
        val wide = ArrayPixels(6, 4, IntArray(24) { if (it % 6 in 1..2) 0xFF640A14.toInt() else 0xFFC81E28.toInt() })
        for ((rule, isPart) in listOf(ResizeRule.CENTER_CROP to true, ResizeRule.STRETCH to false)) {
            val engine = Engine(FakeLoader(image = ImageSpec(4, 4, resize = rule)), StandardTestDispatcher(testScheduler))
            val selection = ModelSelection(models, engine)
            val classify = Classify<PixelSource>(engine, selection, this)
            classify.choose { wide }
            advanceUntilIdle()
            val seen = (classify.state.value as ClassifyState.Answered).verdict.seen!!
            assertEquals(listOf(4, 4, isPart), listOf(seen.pixels.width, seen.pixels.height, seen.isPart))
            val row = IntArray(4).also { seen.pixels.readRow(2, it) }
            if (isPart) assertEquals(listOf(0xFF640A14, 0xFF640A14, 0xFFC81E28, 0xFFC81E28).map(Long::toInt), row.toList())
            classify.choose { ArrayPixels(8, 8, IntArray(64)) }
            advanceUntilIdle()
            assertFalse((classify.state.value as ClassifyState.Answered).verdict.seen!!.isPart)
            val live = Live(engine, selection)
            live.frame(wide)
            assertNull((live.state.value as LiveState.Running).verdict.seen)
        }
    }

    @Test
    fun `a picture and a frame are answered as the user chose to run models`() = runTest {
        val engine = engine()
        val float16 = bundled("a-float16.tflite").copy(gpu = GpuCheck(true), isGpuFile = true)
        val refused = models[1].copy(gpu = GpuCheck(false))
        val onGpu = RunOptions(4, Accelerator.GPU)
        for ((files, options, planned) in listOf(
            Triple(models, RunOptions(4, Accelerator.CPU), Plan(models[1], RunOptions(4, Accelerator.CPU))),
            Triple(listOf(refused), onGpu, Plan(refused, RunOptions(4), Plan.Change.REFUSED_ON_GPU)),
            Triple(listOf(refused, float16), onGpu, Plan(float16, onGpu, Plan.Change.GPU_FILE)),
        )) {
            val selection = ModelSelection(files, engine).apply { runWith(options) }
            val classify = Classify<PixelSource>(engine, selection, this)
            classify.choose { somePicture }
            advanceUntilIdle()
            val live = Live(engine, selection)
            live.frame(somePicture)
            val verdicts = listOf((classify.state.value as ClassifyState.Answered).verdict, (live.state.value as LiveState.Running).verdict)
            for (verdict in verdicts) {
                assertEquals(Triple(planned.model.name, planned.options, planned.change), Triple(verdict.model, verdict.options, verdict.change))
            }
            assertEquals(planned.model.name to planned.options, loader.asked.last())
        }
    }

    @Test
    fun `another model answers for the same picture`() = runTest {
        val engine = engine()
        val selection = ModelSelection(models, engine)
        val classify = Classify<PixelSource>(engine, selection, this)
        classify.choose { somePicture }
        advanceUntilIdle()
        selection.select(models[0])
        classify.again()
        advanceUntilIdle()
        assertEquals("a-float32.tflite", (classify.state.value as ClassifyState.Answered).verdict.model)
    }

    @Test
    fun `none of these is said where the model is too unsure for what was asked, and it can tell`() = runTest {
        val confidence = Confidence(2.0, 0.001, listOf(Confidence.Threshold(0.01, 0.99), Confidence.Threshold(0.1, 0.5)))
        // 0.7 becomes 0.523 with the temperature: √0.7 ÷ (√0.2 + √0.7 + √0.1).
        val expected = mapOf(null to (0.7 to false), 0.1 to (0.523 to false), 0.01 to (0.523 to true), 0.001 to (0.7 to false))
        for ((rate, answer) in expected) {
            for (known in listOf(confidence, null)) {
                val engine = Engine(FakeLoader(confidence = known), StandardTestDispatcher(testScheduler))
                val selection = ModelSelection(models, engine, Choices(errorRate = rate))
                val live = Live(engine, selection)
                live.frame(somePicture)
                val verdict = (live.state.value as LiveState.Running).verdict
                val (probability, isNone) = if (known == null) 0.7 to false else answer
                assertEquals("$rate", probability, verdict.best.first().probability.toDouble(), 1e-3)
                assertEquals("$rate", isNone, verdict.isNoneOfThese)
                assertEquals(if (known == null) emptyList() else listOf(0.01, 0.1), verdict.errorRates)
            }
        }
        val selection = ModelSelection(models, engine(), Choices(errorRate = 7.0))
        assertNull(selection.errorRate)
        selection.answerWithin(0.1)
        assertEquals(0.1, selection.errorRate!!, 0.0)
    }

    @Test
    fun `what an answer rests on is looked for when it is asked for, and given up`() = runTest {
        val engine = engine()
        val classify = Classify<PixelSource>(engine, ModelSelection(models, engine), this)
        classify.explain() // there is no answer yet
        classify.forgetReasons()
        assertEquals(ClassifyState.Empty, classify.state.value)
        classify.choose { somePicture }
        advanceUntilIdle()
        val answered = classify.state.value
        classify.explain()
        advanceUntilIdle()
        val map = ((classify.state.value as ClassifyState.Answered).reasons as Reasons.Found).map
        assertEquals(0.7, map.probability, 1e-6)
        assertEquals(102, loader.made.single().runs)
        classify.forgetReasons()
        assertEquals(answered, classify.state.value)
        classify.explain()
        classify.forgetReasons()
        advanceUntilIdle()
        assertEquals(answered, classify.state.value)
        assertEquals(102, loader.made.single().runs)
    }

    @Test
    fun `a picture is asked about once, and its map stays, until the model or the error rate is another`() = runTest {
        val confidence = Confidence(2.0, 0.001, listOf(Confidence.Threshold(0.1, 0.5)))
        val loader = FakeLoader(confidence = confidence)
        val selection = ModelSelection(models, Engine(loader, StandardTestDispatcher(testScheduler)))
        val classify = Classify<PixelSource>(Engine(loader, StandardTestDispatcher(testScheduler)), selection, this)
        fun runs() = loader.made.sumOf { it.runs }
        classify.choose { somePicture }
        classify.again() // the screen is shown while the picture is read
        advanceUntilIdle()
        classify.again()
        advanceUntilIdle()
        assertEquals(1, runs())
        classify.explain()
        advanceUntilIdle()
        classify.again() // the device was turned
        advanceUntilIdle()
        assertTrue((classify.state.value as ClassifyState.Answered).reasons is Reasons.Found)
        assertEquals(102, runs())
        val changes = listOf({ selection.answerWithin(0.1) }, { selection.runWith(RunOptions(4)) }, { selection.select(models[0]) })
        for ((index, change) in changes.withIndex()) {
            change()
            classify.again()
            advanceUntilIdle()
            assertNull((classify.state.value as ClassifyState.Answered).reasons)
            assertEquals("$index", 103 + index, runs())
        }
    }

    @Test
    fun `the map's figures are those of the answer on the screen`() = runTest {
        val confidence = Confidence(2.0, 0.001, listOf(Confidence.Threshold(0.1, 0.5)))
        val engine = Engine(FakeLoader(confidence = confidence), StandardTestDispatcher(testScheduler))
        for ((rate, expected) in listOf(null to 0.7, 0.1 to 0.523)) {
            val classify = Classify<PixelSource>(engine, ModelSelection(models, engine, Choices(errorRate = rate)), this)
            classify.choose { somePicture }
            advanceUntilIdle()
            classify.explain()
            advanceUntilIdle()
            val map = ((classify.state.value as ClassifyState.Answered).reasons as Reasons.Found).map
            assertEquals(expected, map.probability, 1e-3)
        }
    }

    @Test
    fun `another picture ends the looking`() {
        val slow = FakeLoader(runMs = 5)
        Executors.newSingleThreadExecutor().asCoroutineDispatcher().use { one ->
            runBlocking {
                val engine = Engine(slow, one)
                val classify = Classify<PixelSource>(engine, ModelSelection(models, engine), this)
                classify.choose { somePicture }
                classify.state.first { it is ClassifyState.Answered }
                classify.explain()
                val looking = classify.state.first { ((it as ClassifyState.Answered).reasons as? Reasons.Looking)?.let { it.done >= 3 } == true }
                classify.choose { ArrayPixels(1, 1, IntArray(1)) }
                val state = classify.state.first { it is ClassifyState.Answered && it.picture.width == 1 } as ClassifyState.Answered
                assertNull(state.reasons)
                assertEquals(101, ((looking as ClassifyState.Answered).reasons as Reasons.Looking).count)
                assertTrue("${slow.made.single().runs}", slow.made.single().runs < 60)
            }
        }
    }

    @Test
    fun `a broken picture and a broken model are told apart`() = runTest {
        val engine = engine()
        val selection = ModelSelection(listOf(bundled("bad.tflite")), engine)
        val classify = Classify<PixelSource>(engine, selection, this)
        classify.choose { throw PictureException(PictureProblem.NotAPicture) }
        advanceUntilIdle()
        assertEquals(ClassifyState.BadPicture(PictureProblem.NotAPicture), classify.state.value)
        classify.choose { somePicture }
        advanceUntilIdle()
        assertEquals("bad.tflite", (classify.state.value as ClassifyState.BadModel).name)
        classify.again() // it is tried anew: there may be memory for it now
        assertTrue(classify.state.first { it is ClassifyState.Working } is ClassifyState.Working)
        advanceUntilIdle()
        assertTrue(classify.state.value is ClassifyState.BadModel)
    }

    @Test
    fun `a later picture replaces one that is still being read`() = runTest {
        val engine = engine()
        val classify = Classify<PixelSource>(engine, ModelSelection(models, engine), this)
        val never = CompletableDeferred<PixelSource>()
        classify.choose { never.await() }
        advanceUntilIdle()
        assertTrue(classify.state.value is ClassifyState.Working)
        classify.choose { somePicture }
        advanceUntilIdle()
        assertTrue(classify.state.value is ClassifyState.Answered)
        assertTrue(never.isActive)
    }

    @Test
    fun `a picture that is being read is not given up for the one before`() = runTest {
        val engine = engine()
        val classify = Classify<PixelSource>(engine, ModelSelection(models, engine), this)
        classify.choose { somePicture }
        advanceUntilIdle()
        val next = CompletableDeferred<PixelSource>()
        val other = ArrayPixels(1, 1, IntArray(1))
        classify.choose { next.await() }
        advanceUntilIdle()
        classify.again() // the device was turned, say
        next.complete(other)
        advanceUntilIdle()
        assertEquals(other, (classify.state.value as ClassifyState.Answered).picture)
    }

    @Test
    fun `without a model there is nothing to ask`() = runTest {
        val engine = engine()
        val classify = Classify<PixelSource>(engine, ModelSelection(emptyList(), engine), this)
        classify.choose { somePicture }
        advanceUntilIdle()
        assertEquals(ClassifyState.NoModel, classify.state.value)
    }

    // --- camera ---

    @Test
    fun `frames are answered and counted`() = runTest {
        val engine = engine()
        var now = 0L
        val live = Live(engine, ModelSelection(models, engine)) { now }
        live.permission(granted = true, mayAsk = true)
        assertEquals(LiveState.Starting, live.state.value)
        repeat(20) {
            now += 40_000_000
            live.frame(somePicture)
        }
        val state = live.state.value as LiveState.Running
        assertEquals(25.0, state.framesPerSecond, 1e-9)
        assertEquals(1, loader.made.size)
    }

    @Test
    fun `what keeps the camera from running is said`() = runTest {
        val engine = engine()
        val live = Live(engine, ModelSelection(models, engine))
        live.permission(granted = false, mayAsk = true)
        assertEquals(LiveState.NeedsPermission, live.state.value)
        live.permission(granted = false, mayAsk = false)
        assertEquals(LiveState.Denied, live.state.value)
        Live(engine, ModelSelection(emptyList(), engine)).apply { permission(granted = true, mayAsk = true) }.let {
            assertEquals(LiveState.NoModel, it.state.value)
        }
    }

    // --- self-test ---

    private class FakeGolden(private val expected: List<Double>?, private val limits: Limits = Limits(1.0, 0.01)) : GoldenImages {
        override fun read(model: ModelEntry): GoldenSet {
            val probabilities = expected ?: throw IOException("golden.json is gone")
            return GoldenSet("test", List(2) { GoldenImage("$it.png", 0, probabilities) })
        }

        override fun picture(model: ModelEntry, file: String) = somePicture

        override fun limits(model: ModelEntry) = limits
    }

    private fun TestScope.selfTests(golden: GoldenImages, models: List<ModelEntry> = this@ScreensTest.models) =
        SelfTests(engine(), models, golden, FakeMachine().device, this)

    @Test
    fun `files that answer as Keras pass`() = runTest {
        val tests = selfTests(FakeGolden(listOf(0.2, 0.7, 0.1)))
        assertEquals(SelfTestState.Ready(2), tests.state.value)
        tests.start()
        advanceUntilIdle()
        val document = (tests.state.value as SelfTestState.Done).document
        assertTrue(document.passed)
        assertEquals(listOf(2, 2), document.files.map { it.images })
    }

    @Test
    fun `a file that answers otherwise fails the test`() = runTest {
        val tests = selfTests(FakeGolden(listOf(0.7, 0.2, 0.1)))
        assertFalse(tests.run().passed)
    }

    @Test
    fun `a file that does not load fails alone`() = runTest {
        val document = selfTests(FakeGolden(listOf(0.2, 0.7, 0.1)), models + bundled("bad.tflite")).run()
        assertEquals(listOf(true, true, false), document.files.map { it.passed })
        assertEquals(listOf("the runtime refuses it (it is bad)"), document.files.last().reasons)
    }

    @Test
    fun `golden images are read where models run, not on the main thread`() {
        val threads = mutableSetOf<String>()
        val golden = object : GoldenImages by FakeGolden(listOf(0.2, 0.7, 0.1)) {
            override fun read(model: ModelEntry): GoldenSet {
                threads += Thread.currentThread().name
                return FakeGolden(listOf(0.2, 0.7, 0.1)).read(model)
            }

            override fun picture(model: ModelEntry, file: String): PixelSource {
                threads += Thread.currentThread().name
                return somePicture
            }
        }
        Executors.newSingleThreadExecutor { Thread(it, "inference") }.asCoroutineDispatcher().use { inference ->
            runBlocking { assertTrue(SelfTests(Engine(loader, inference), models, golden, FakeMachine().device, this).run().passed) }
        }
        assertEquals(setOf("inference"), threads.map { it.substringBefore(" @") }.toSet())
    }

    @Test
    fun `golden images that cannot be read are said so`() = runTest {
        val tests = selfTests(FakeGolden(null))
        tests.start()
        advanceUntilIdle()
        assertEquals(SelfTestState.Failed("golden.json is gone"), tests.state.value)
    }

    @Test
    fun `with nothing bundled there is nothing to test`() = runTest {
        assertEquals(SelfTestState.NothingToTest, selfTests(FakeGolden(null), emptyList()).state.value)
    }

    // --- benchmark ---

    private fun TestScope.benchmarks(selection: List<ModelEntry> = models): Benchmarks {
        val engine = engine()
        return benchmarks(ModelSelection(selection, engine), engine)
    }

    private fun CoroutineScope.benchmarks(selection: ModelSelection, engine: Engine) =
        Benchmarks(engine, selection, FakeMachine(), listOf(Accelerator.CPU), this)

    /** Lets the user choose, and starts. */
    private fun TestScope.timed(options: RunOptions, files: List<ModelEntry> = models): Benchmarks {
        val engine = engine()
        val selection = ModelSelection(files, engine).apply {
            runWith(options)
            timeIn(10)
        }
        return benchmarks(selection, engine).apply {
            start()
            advanceUntilIdle()
        }
    }

    @Test
    fun `a benchmark warms up, runs, and tells what it found`() = runTest {
        val document = (timed(RunOptions(2, Accelerator.CPU)).state.first() as BenchmarkState.Done).document
        val file = document.files.single()
        // The fake's run N takes N milliseconds: the first, five to warm up, then ten that count.
        assertEquals(listOf(1.0, 7.0, 11.5, 10), listOf(file.firstMs, file.minMs, file.p50Ms, file.runs))
        assertEquals(listOf(8.0, 300.0, 8, 3), listOf(file.modelMemoryMb, file.peakMemoryMb, file.delegatedNodes, file.partitions))
        assertEquals("Fake 1, cpu", document.runtime)
        assertTrue(loader.made.all { it.closed })
    }

    @Test
    fun `several models take turns there and back, and never two are loaded`() = runTest {
        val document = benchmarks().run(models, RunOptions(), 5)
        assertEquals(listOf("a-float32.tflite", "b-int8.tflite"), document.files.map { it.path })
        assertEquals(listOf("a-float32.tflite", "b-int8.tflite", "b-int8.tflite", "a-float32.tflite"), loader.asked.map { it.first })
        // The first run, five to warm up, and three or two that count.
        assertEquals(listOf(9, 9, 8, 8), loader.made.map { it.runs })
        assertEquals(listOf(5, 5), document.files.map { it.runs })
        assertEquals(1, loader.mostOpen)
        assertTrue(loader.made.all { it.closed })
        assertEquals(listOf(null, null), document.files.map { it.peakMemoryMb })
    }

    @Test
    fun `one run of each is no reason to load twice`() = runTest {
        val document = benchmarks().run(models, RunOptions(), 1)
        assertEquals(listOf(1, 1), document.files.map { it.runs })
        assertEquals(2, loader.made.size)
    }

    @Test
    fun `the file for the GPU is timed there, and one that is refused there on the processor`() = runTest {
        val onGpu = RunOptions(1, Accelerator.GPU)
        val float16 = bundled("a-float16.tflite").copy(gpu = GpuCheck(true), isGpuFile = true)
        val int8 = bundled("a-int8.tflite", "int8").copy(gpu = GpuCheck(false, listOf("the delegate refuses EXP")))
        for ((files, timed) in listOf(
            listOf(int8, float16) to ("a-float16.tflite" to onGpu),
            listOf(int8) to ("a-int8.tflite" to RunOptions()),
        )) {
            loader.asked.clear()
            val done = timed(onGpu, files).state.first() as BenchmarkState.Done
            assertEquals(listOf(timed), loader.asked)
            val file = done.document.files.single()
            assertEquals(timed.first to timed.second.accelerator.id, file.path to file.delegate)
            assertTrue("${file.note}", "a-int8.tflite" in file.note.orEmpty())
        }
    }

    @Test
    fun `files that are named from outside are timed themselves, but never on a GPU that refuses them`() = runTest {
        val float16 = bundled("a-float16.tflite").copy(gpu = GpuCheck(true), isGpuFile = true)
        val int8 = bundled("a-int8.tflite").copy(gpu = GpuCheck(false))
        val document = benchmarks().run(listOf(int8, float16), RunOptions(1, Accelerator.GPU), 1)
        assertEquals(
            mapOf("a-int8.tflite" to "xnnpack", "a-float16.tflite" to "gpu"),
            document.files.associate { it.path to it.delegate },
        )
    }

    @Test
    fun `a model that the runtime refuses ends the benchmark with its reason`() = runTest {
        val benchmarks = timed(RunOptions(), listOf(bundled("bad.tflite")))
        assertEquals(BenchmarkState.Failed("bad.tflite", ModelProblem.Refused("it is bad")), benchmarks.state.first())
        benchmarks.stop()
        assertEquals(BenchmarkState.Choosing(listOf(Accelerator.CPU)), benchmarks.state.first())
    }

    @Test
    fun `again runs again`() = runTest {
        val benchmarks = timed(RunOptions())
        benchmarks.start()
        assertEquals(BenchmarkState.Running(0, 10), benchmarks.state.first())
        advanceUntilIdle()
        assertTrue(benchmarks.state.first() is BenchmarkState.Done)
        assertEquals(2, loader.made.size)
    }

    @Test
    fun `a model that is opened later can be timed`() = runTest {
        val engine = engine()
        val selection = ModelSelection(emptyList(), engine)
        val benchmarks = benchmarks(selection, engine)
        assertEquals(BenchmarkState.NoModel, benchmarks.state.first())
        selection.open("mine.tflite") { ModelEntry("mine.tflite", null, 5, ModelEntry.Source.Opened) }
        assertEquals(BenchmarkState.Choosing(listOf(Accelerator.CPU)), benchmarks.state.first())
    }

    /** With threads of its own, as in the app: [end] is called while the benchmark runs. */
    private fun whileRunning(end: suspend Benchmarks.(ModelSelection) -> Unit): BenchmarkState {
        val inference = Executors.newSingleThreadExecutor().asCoroutineDispatcher()
        val main = Executors.newSingleThreadExecutor().asCoroutineDispatcher()
        try {
            return runBlocking(main) {
                val engine = Engine(FakeLoader(runMs = 2), inference)
                val selection = ModelSelection(models, engine).apply { timeIn(1000) }
                val benchmarks = benchmarks(selection, engine)
                benchmarks.start()
                benchmarks.state.first { it is BenchmarkState.Running && it.done > 2 }
                benchmarks.end(selection)
                withContext(inference) {} // what was running has ended
                delay(20)
                benchmarks.state.first()
            }
        } finally {
            inference.close()
            main.close()
        }
    }

    @Test
    fun `stop stops, and the choice is there again`() {
        repeat(10) { assertEquals(BenchmarkState.Choosing(listOf(Accelerator.CPU)), whileRunning { stop() }) }
    }

    @Test
    fun `what would be measured in the background is not called the device's speed`() {
        assertEquals(BenchmarkState.Interrupted, whileRunning { interrupt() })
    }

    @Test
    fun `a benchmark that is started while another one stops runs to its end`() {
        val state = whileRunning {
            stop()
            it.timeIn(3)
            start()
            withTimeout(10_000) { state.first { it !is BenchmarkState.Running } }
        }
        assertEquals(3, (state as BenchmarkState.Done).document.files.single().runs)
    }
}
