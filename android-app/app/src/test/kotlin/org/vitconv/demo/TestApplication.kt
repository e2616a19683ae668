package org.vitconv.demo

import kotlinx.coroutines.Dispatchers
import org.vitconv.core.Accelerator
import org.vitconv.core.Answer
import org.vitconv.core.Classifier
import org.vitconv.core.Confidence
import org.vitconv.core.Delegation
import org.vitconv.core.Device
import org.vitconv.core.FrameSize
import org.vitconv.core.GoldenImage
import org.vitconv.core.GoldenSet
import org.vitconv.core.ImageSpec
import org.vitconv.core.Limits
import org.vitconv.core.ModelException
import org.vitconv.core.ModelInfo
import org.vitconv.core.ModelProblem
import org.vitconv.core.Normalization
import org.vitconv.core.PixelSource
import org.vitconv.core.Resampler
import org.vitconv.core.ResizeRule
import org.vitconv.core.TensorSpec
import org.vitconv.core.TensorType
import org.vitconv.core.screens.GoldenImages
import org.vitconv.core.screens.Machine
import org.vitconv.core.screens.ModelEntry
import org.vitconv.demo.camera.FakePictures
import org.vitconv.demo.camera.Pictures
import java.io.IOException
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicInteger

/** The app with models that need no file: the screens are looked at with these. */
class TestApplication : DemoApplication() {
    /** Also what the app would have after it was killed and started again. */
    public override fun createParts(): Parts {
        beforeParts?.invoke()
        return fakeParts()
    }

    private fun fakeParts() = Parts(
        models = models,
        golden = FakeGolden,
        loader = { _, _ ->
            refused?.let { throw ModelException(it) }
            FakeClassifier(runMs)
        },
        machine = FakeMachine,
        accelerators = listOf(Accelerator.CPU, Accelerator.XNNPACK, Accelerator.NNAPI),
        // Alone on its thread where it takes time, as in the app.
        inference = if (runMs == 0L && gate == null) Dispatchers.Unconfined else Dispatchers.IO.limitedParallelism(1),
        choices = choices(),
        keep = ::keep,
    )

    override fun cameraPictures(size: FrameSize): Pictures = FakePictures(size).also { pictures = it }

    companion object {
        /** Those of the camera that was opened last. */
        var pictures: FakePictures? = null

        /** What was classified last, as rows of 0xAARRGGBB. */
        @Volatile
        var seen: List<List<Int>> = emptyList()
        var models = defaultModels()

        /** Called before the app's parts are made; it may take its time. */
        var beforeParts: (() -> Unit)? = null

        /** What a model says of a picture, in the order of its labels. */
        var probabilities: (PixelSource) -> FloatArray = ::mostlyTulips

        /** What it makes of a picture before that. */
        var resize = ResizeRule.STRETCH

        /** What its file says of how sure it is. */
        var confidence: Confidence? = null

        /** How long a model says that it takes. */
        var medianMs = 8.25

        /** How often any model ran. */
        val runs = AtomicInteger()

        /** How long a model really takes, in milliseconds. */
        var runMs = 0L

        @Suppress("UNUSED_PARAMETER")
        fun mostlyTulips(picture: PixelSource) = floatArrayOf(0.02f, 0.004f, 0.871f, 0.011f, 0.094f)

        /** Where models wait, so that a screen can be looked at meanwhile. */
        @Volatile
        var gate: Gate? = null

        /** Why no model can be loaded. */
        var refused: ModelProblem? = null

        /** Why the golden pictures cannot be read. */
        var goldenProblem: String? = null

        fun defaultModels() = listOf("float32" to 4_300_000L, "float16" to 2_210_000L, "dynamic" to 1_200_000L, "int8" to 1_360_000L)
            .map { (scheme, bytes) ->
                ModelEntry("mobilevit_xxs-tf_flowers-$scheme.tflite", scheme, bytes, ModelEntry.Source.Bundled("flowers"))
            }
    }
}

/** Lets a model run [times] times, and then holds it until it is opened. */
class Gate(private val times: Int) {
    private val passed = AtomicInteger()
    private val opened = CountDownLatch(1)

    fun pass() {
        if (passed.incrementAndGet() > times) opened.await()
    }

    fun open() = opened.countDown()
}

/** Knows five flowers. */
class FakeClassifier(private val runMs: Long = 0) : Classifier {
    override val info = ModelInfo(
        "fake", "", "", "", "", listOf("dandelion", "daisy", "tulips", "sunflowers", "roses"), ImageSpec(32, 32, resize = TestApplication.resize),
        Normalization.NONE, TensorSpec(listOf(1, 32, 32, 3), TensorType.FLOAT32, null),
        TensorSpec(listOf(1, 5), TensorType.FLOAT32, null), 439,
        TestApplication.confidence,
    )
    override val loadMs = 12.5
    override val delegation = Delegation(439, 390, 57)
    override val pixels = ByteArray(32 * 32 * 3)
    private val resampler = Resampler(info.image)

    override fun classify(picture: PixelSource): Answer {
        TestApplication.seen = List(picture.height) { y -> IntArray(picture.width).also { picture.readRow(y, it) }.toList() }
        resampler.resample(picture, pixels)
        return Answer(TestApplication.probabilities(picture)).apply {
            prepareMs = 3.4
            inferenceMs = run()
        }
    }

    override fun run(): Double {
        TestApplication.runs.incrementAndGet()
        TestApplication.gate?.pass()
        if (runMs > 0) Thread.sleep(runMs)
        return TestApplication.medianMs
    }

    override fun close() = Unit
}

object FakeGolden : GoldenImages {
    override fun read(model: ModelEntry): GoldenSet {
        TestApplication.goldenProblem?.let { throw IOException(it) }
        return GoldenSet("validation", List(8) { GoldenImage("$it.png", 2, listOf(0.02, 0.01, 0.86, 0.01, 0.1)) })
    }

    override fun picture(model: ModelEntry, file: String) = org.vitconv.core.ArrayPixels(1, 1, IntArray(1))

    /** The dynamic model is held to more than it can give. */
    override fun limits(model: ModelEntry) = Limits(0.9, if (model.scheme == "dynamic") 1e-4 else 0.1)
}

object FakeMachine : Machine {
    override val device = Device("Phone", "Maker", "14", 34, "arm64-v8a", "Chip", 8)
    override val runtime = "TensorFlow Lite 2.16.1"
    override val tool = "vitconv-demo 0.1.0"

    override fun thermalStatus() = "none"

    override fun nativeMemoryMb() = 42.0

    override fun peakMemoryMb() = 187.3
}
