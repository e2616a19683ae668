package org.vitconv.core.screens

import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.test.StandardTestDispatcher
import kotlinx.coroutines.test.TestScope
import kotlinx.coroutines.test.advanceUntilIdle
import kotlinx.coroutines.test.runTest
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test
import org.vitconv.core.Accelerator
import org.vitconv.core.CheckProblem
import org.vitconv.core.GoldenImage
import org.vitconv.core.GoldenSet
import org.vitconv.core.Limits
import org.vitconv.core.ModelProblem
import org.vitconv.core.RunOptions

/** What a screen said is there again after Android ended the app. */
@OptIn(ExperimentalCoroutinesApi::class)
class KeptTest {
    private val models = listOf(bundled("a-int8.tflite", "int8"), bundled("b-float32.tflite", "float32"), bundled("bad.tflite"))

    private fun TestScope.engine(loader: FakeLoader = FakeLoader()) = Engine(loader, StandardTestDispatcher(testScheduler))

    private fun TestScope.benchmarks(selection: ModelSelection, kept: String? = null) =
        Benchmarks(engine(), selection, FakeMachine(), listOf(Accelerator.CPU, Accelerator.XNNPACK), this, kept)

    private fun TestScope.end(benchmarks: Benchmarks) {
        benchmarks.start()
        advanceUntilIdle()
    }

    /** Keras says the second class with 0.9; the fakes say it with 0.7, which is too far away for the limit. */
    private object Golden : GoldenImages {
        override fun read(model: ModelEntry) = GoldenSet("test", listOf(GoldenImage("0.png", 1, listOf(0.05, 0.9, 0.05))))

        override fun picture(model: ModelEntry, file: String) = somePicture

        override fun limits(model: ModelEntry) = Limits(1.0, if (model.scheme == "int8") 0.5 else 0.01)
    }

    private fun TestScope.selfTests(kept: String? = null) = SelfTests(engine(), models, Golden, FakeMachine().device, this, kept)

    @Test
    fun `what was timed, and what it is compared with`() = runTest {
        val selection = ModelSelection(models, engine())
        val before = benchmarks(selection)
        end(before)
        selection.select(models[1])
        selection.runWith(RunOptions(2, Accelerator.CPU))
        end(before)
        val after = benchmarks(selection, before.toKeep())
        val state = after.state.first() as BenchmarkState.Done
        assertEquals(before.state.first(), state)
        assertEquals(listOf("a-int8.tflite", "b-float32.tflite"), state.compared.map { it.path })
        // What comes next is compared with what was timed before the app was ended.
        after.stop()
        selection.runWith(RunOptions(4, Accelerator.CPU))
        val later = benchmarks(selection, after.toKeep())
        assertEquals(BenchmarkState.Choosing(listOf(Accelerator.CPU, Accelerator.XNNPACK)), later.state.first())
        end(later)
        assertEquals(listOf(2, 4), (later.state.first() as BenchmarkState.Done).compared.filter { it.path == "b-float32.tflite" }.map { it.options.threads })
    }

    @Test
    fun `why a benchmark failed, and that one was running`() = runTest {
        val selection = ModelSelection(models, engine()).apply { select(models[2]) }
        val failed = benchmarks(selection)
        end(failed)
        assertEquals(BenchmarkState.Failed("bad.tflite", ModelProblem.Refused("it is bad")), benchmarks(selection, failed.toKeep()).state.first())
        selection.select(models[0])
        val running = benchmarks(selection).apply { start() }
        val kept = running.toKeep()
        running.stop()
        assertEquals(BenchmarkState.Interrupted, benchmarks(selection, kept).state.first())
    }

    @Test
    fun `which files passed the self-test, and why others did not`() = runTest {
        val before = selfTests()
        assertNull(before.toKeep())
        before.start()
        advanceUntilIdle()
        val done = before.state.value as SelfTestState.Done
        val problems = done.document.files.map { it.problems }
        assertEquals(listOf(0, 1, 1), problems.map { it.size })
        assertEquals(CheckProblem.Model(ModelProblem.Refused("it is bad")), problems[2].single())
        assertEquals(done, selfTests(before.toKeep()).state.value)
    }

    @Test
    fun `what is damaged, or of another version, is as if nothing was kept`() = runTest {
        val selection = ModelSelection(models, engine())
        for (text in listOf("", "no JSON", "{}", "{\"state\": {\"type\": \"Gone\"}}")) {
            assertEquals(SelfTestState.Ready(3), selfTests(text).state.value)
            assertEquals(benchmarks(selection).state.first(), benchmarks(selection, text).state.first())
        }
    }
}
