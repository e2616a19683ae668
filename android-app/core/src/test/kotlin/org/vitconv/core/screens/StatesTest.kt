package org.vitconv.core.screens

import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.test.StandardTestDispatcher
import kotlinx.coroutines.test.TestScope
import kotlinx.coroutines.test.advanceUntilIdle
import kotlinx.coroutines.test.runTest
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.vitconv.core.Accelerator
import org.vitconv.core.Answer
import org.vitconv.core.Classifier
import org.vitconv.core.GoldenImage
import org.vitconv.core.GoldenSet
import org.vitconv.core.GpuCheck
import org.vitconv.core.Limits
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem
import org.vitconv.core.PixelSource
import org.vitconv.core.RunOptions
import java.io.IOException

/** What becomes of a screen's state when something is asked twice, too early, or of nothing. */
@OptIn(ExperimentalCoroutinesApi::class)
class StatesTest {
    private val models = listOf(bundled("a-float32.tflite", "float32"), bundled("b-int8.tflite", "int8"))
    private val bad = bundled("bad.tflite")

    private fun TestScope.engine(loader: FakeLoader = FakeLoader()) = Engine(loader, StandardTestDispatcher(testScheduler))

    private class Golden(private val problem: Exception? = null) : GoldenImages {
        override fun read(model: ModelEntry): GoldenSet {
            problem?.let { throw it }
            return GoldenSet("test", List(2) { GoldenImage("$it.png", 1, listOf(0.2, 0.7, 0.1)) })
        }

        override fun picture(model: ModelEntry, file: String) = somePicture

        override fun limits(model: ModelEntry) = Limits(1.0, 0.1)
    }

    @Test
    fun `a self-test that was stopped can be started again`() = runTest {
        val tests = SelfTests(engine(), models, Golden(), FakeMachine().device, this)
        assertEquals(SelfTestState.Ready(2), tests.state.value)
        tests.stop() // nothing runs
        tests.start()
        tests.start()
        tests.stop()
        advanceUntilIdle()
        assertEquals(SelfTestState.Ready(2), tests.state.value)
        tests.start()
        advanceUntilIdle()
        assertTrue((tests.state.value as SelfTestState.Done).document.passed)
    }

    @Test
    fun `golden pictures that cannot be read end the self-test with the reason`() = runTest {
        for (problem in listOf(IOException("golden.json is gone"), IllegalArgumentException("golden.json is gone"))) {
            val tests = SelfTests(engine(), models, Golden(problem), FakeMachine().device, this)
            tests.start()
            advanceUntilIdle()
            assertEquals(SelfTestState.Failed("golden.json is gone"), tests.state.value)
        }
        val nothing = SelfTests(engine(), emptyList(), Golden(), FakeMachine().device, this)
        nothing.start()
        nothing.stop()
        assertEquals(SelfTestState.NothingToTest, nothing.state.value)
    }

    @Test
    fun `a benchmark without a model does not start, and one that runs is not started again`() = runTest {
        val selections = mutableListOf<ModelSelection>()
        fun benchmarks(models: List<ModelEntry>, loader: FakeLoader): Benchmarks {
            val engine = engine(loader)
            val selection = ModelSelection(models, engine).also { selections += it }
            return Benchmarks(engine, selection, FakeMachine(), listOf(Accelerator.CPU), this)
        }
        val none = benchmarks(emptyList(), FakeLoader())
        none.start()
        none.stop()
        none.interrupt()
        assertEquals(BenchmarkState.NoModel, none.state.first())
        assertEquals(Choices(null, null, 1, Accelerator.XNNPACK.id, 50), selections.single().choices.first())
        val loader = FakeLoader()
        val some = benchmarks(models, loader)
        selections.last().timeIn(10)
        some.start()
        some.start()
        advanceUntilIdle()
        some.interrupt() // it is done
        assertTrue(some.state.first() is BenchmarkState.Done)
        assertEquals(1, loader.made.size)
        assertEquals(10, selections.last().choices.first().runs)
    }

    @Test
    fun `options and speeds change while a file is being opened, and after one was refused`() = runTest {
        val selection = ModelSelection(models, engine())
        val answer = CompletableDeferred<ModelEntry>()
        launch { selection.open("mine.tflite") { answer.await() } }
        testScheduler.runCurrent()
        assertEquals("mine.tflite", (selection.state.value as ModelsState.Opening).name)
        selection.acknowledge() // nothing was refused
        selection.measured(models[1], 4.0)
        assertEquals(mapOf(models[1] to 4.0), (selection.state.value as ModelsState.Opening).models.speeds)
        answer.complete(bad)
        advanceUntilIdle()
        selection.runWith(RunOptions(2))
        selection.runWith(RunOptions(2))
        assertEquals(RunOptions(2), (selection.state.value as ModelsState.Refused).models.options)
        assertEquals(emptyMap<ModelEntry, Double>(), selection.state.value.models.speeds)
    }

    @Test
    fun `a listed file that is opened again and is broken now stays listed`() = runTest {
        val selection = ModelSelection(models + bad, engine())
        val forgotten = mutableListOf<ModelEntry>()
        selection.open("bad.tflite", { forgotten += it }) { bad }
        assertEquals(emptyList<ModelEntry>(), forgotten)
        assertEquals(models + bad, selection.state.value.models.entries)
    }

    @Test
    fun `why a file does not run as it was asked is said in words for documents`() {
        val refused = models[0].copy(gpu = GpuCheck(false))
        assertEquals("a-float32.tflite ran on the CPU, because on the GPU it does not run right", planOfFile(refused, RunOptions(1, Accelerator.GPU)).note(refused))
        assertNull(planOfFile(refused, RunOptions()).note(refused))
        val opened = ModelEntry("mine.tflite", null, 5, ModelEntry.Source.Opened)
        val forGpu = opened.copy(name = "other.tflite", isGpuFile = true)
        assertEquals(opened, plan(opened, RunOptions(1, Accelerator.GPU), listOf(forGpu)).model)
        val unfit = models[1].copy(isGpuFile = true, gpu = GpuCheck(false))
        assertEquals(models[0], plan(models[0], RunOptions(1, Accelerator.GPU), listOf(unfit)).model)
        assertEquals(Plan.Change.REFUSED_ON_GPU, plan(unfit, RunOptions(1, Accelerator.GPU), listOf(unfit)).change)
    }

    /** Runs [times] times, and then no more. */
    private class Failing(private val inner: FakeClassifier, private val times: Int) : Classifier by inner {
        override fun classify(picture: PixelSource): Answer =
            if (inner.runs < times) inner.classify(picture) else throw ModelException(ModelProblem.Refused("the device is lost"))
    }

    @Test
    fun `a model that breaks while it is asked what an answer rests on is said to, and asked anew`() = runTest {
        val made = mutableListOf<FakeClassifier>()
        val loader = ClassifierLoader { _, _ -> Failing(FakeClassifier(floatArrayOf(0.2f, 0.7f, 0.1f)).also { made += it }, 5) }
        val engine = Engine(loader, StandardTestDispatcher(testScheduler))
        val classify = Classify<PixelSource>(engine, ModelSelection(models, engine), this)
        classify.choose { somePicture }
        advanceUntilIdle()
        classify.explain()
        advanceUntilIdle()
        assertEquals(ClassifyState.BadModel(somePicture, "b-int8.tflite", ModelProblem.Refused("the device is lost")), classify.state.value)
        classify.explain() // there is no answer any more
        classify.forgetReasons()
        assertTrue(classify.state.value is ClassifyState.BadModel)
        classify.again()
        advanceUntilIdle()
        assertTrue(classify.state.value is ClassifyState.BadModel)
        assertEquals(5, made.single().runs)
    }

    @Test
    fun `memory that the device does not tell is no figure`() = runTest {
        var told = 0
        for (missing in 1..2) {
            told = 0
            val machine = object : Machine by FakeMachine() {
                override fun nativeMemoryMb() = if (++told == missing) null else 100.0
            }
            val engine = engine()
            val benchmarks = Benchmarks(engine, ModelSelection(models, engine), machine, listOf(Accelerator.CPU), this)
            assertNull(benchmarks.run(models.take(1), RunOptions(), 3).files.single().modelMemoryMb)
            assertEquals(2, told)
        }
    }

    @Test
    fun `an error rate that is none is as if none was chosen`() {
        for ((rate, kept) in listOf(0.0 to null, -0.1 to null, 1.0 to null, Double.NaN to null, 0.05 to 0.05)) {
            val selection = ModelSelection(models, Engine(FakeLoader(), Dispatchers.Unconfined), Choices(errorRate = rate))
            assertEquals(kept, selection.errorRate)
        }
    }

    @Test
    fun `choices of no model, and of one that the user opened, are read again`() {
        for (selected in listOf(null, ModelEntry("mine.tflite", null, 5, ModelEntry.Source.Opened), models[0])) {
            val chosen = Choices.of(Models(models, selected, runs = 10))
            assertEquals(chosen, Choices.read(chosen.toString()))
        }
        assertEquals(1, ModelSelection(models, Engine(FakeLoader(), Dispatchers.Unconfined), Choices(runs = -7)).state.value.models.runs)
        for (text in listOf(null, "no JSON", "{\"runs\": \"many\"}")) assertEquals(Choices(), Choices.read(text))
    }

    @Test
    fun `a frame without a model, and after the first of a second, tells no wrong rate`() = runTest {
        val engine = engine()
        val nothing = Live(engine, ModelSelection(emptyList(), engine))
        nothing.frame(somePicture)
        assertEquals(LiveState.Starting, nothing.state.value)
        nothing.noCamera()
        assertEquals(LiveState.NoCamera, nothing.state.value)
        val broken = Live(engine, ModelSelection(listOf(bad), engine))
        broken.frame(somePicture)
        assertEquals("bad.tflite", (broken.state.value as LiveState.BadModel).name)
        val rate = FrameRate()
        assertEquals(listOf(0.0, 0.0, 10.0), listOf(5L, 5L, 200_000_005L).map { rate.tick(it) })
        repeat(20) { rate.tick(200_000_005L + (it + 1) * 50_000_000L) }
        assertEquals(20.0, rate.tick(200_000_005L + 21 * 50_000_000L), 1e-9)
    }

    @Test
    fun `what is shown of a broken picture stays, and of a model that is gone in the meantime is said`() = runTest {
        val engine = engine()
        val selection = ModelSelection(models + bad, engine)
        val classify = Classify<PixelSource>(engine, selection, this)
        classify.again() // nothing was chosen
        assertEquals(ClassifyState.Empty, classify.state.value)
        classify.choose { throw PictureException(PictureProblem.NotAPicture) }
        advanceUntilIdle()
        classify.again()
        assertEquals(ClassifyState.BadPicture(PictureProblem.NotAPicture), classify.state.value)
        classify.choose { somePicture }
        advanceUntilIdle()
        selection.select(bad)
        classify.explain() // of an answer that another model gave
        advanceUntilIdle()
        assertTrue(classify.state.value is ClassifyState.Answered)
        classify.again()
        advanceUntilIdle()
        classify.explain()
        assertEquals("bad.tflite", (classify.state.value as ClassifyState.BadModel).name)
    }
}
