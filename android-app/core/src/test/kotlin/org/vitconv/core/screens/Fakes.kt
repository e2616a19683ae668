package org.vitconv.core.screens

import org.vitconv.core.Answer
import org.vitconv.core.ArrayPixels
import org.vitconv.core.Classifier
import org.vitconv.core.Confidence
import org.vitconv.core.Delegation
import org.vitconv.core.Device
import org.vitconv.core.ImageSpec
import org.vitconv.core.ModelException
import org.vitconv.core.ModelInfo
import org.vitconv.core.ModelProblem
import org.vitconv.core.Normalization
import org.vitconv.core.PixelSource
import org.vitconv.core.Resampler
import org.vitconv.core.RunOptions
import org.vitconv.core.TensorSpec
import org.vitconv.core.TensorType

/** Answers every picture with the same [probabilities]. */
class FakeClassifier(
    private val probabilities: FloatArray,
    private val runMs: Long = 0,
    confidence: Confidence? = null,
    image: ImageSpec = ImageSpec(2, 2),
) : Classifier {
    var runs = 0
    var closed = false

    override val info = ModelInfo(
        "fake", "", "", "", "", listOf("cat", "dog", "tree").take(probabilities.size), image, Normalization.NONE,
        TensorSpec(listOf(1, image.height, image.width, 3), TensorType.FLOAT32, null),
        TensorSpec(listOf(1, probabilities.size), TensorType.FLOAT32, null), 10, confidence,
    )
    override val loadMs = 5.0
    override val delegation = Delegation(10, 8, 3)
    override val pixels = ByteArray(info.image.height * info.image.width * 3)
    private val resampler = Resampler(info.image)

    override fun classify(picture: PixelSource): Answer {
        check(!closed)
        resampler.resample(picture, pixels)
        return Answer(probabilities.copyOf()).apply {
            prepareMs = 1.0
            inferenceMs = run()
        }
    }

    override fun run(): Double {
        check(!closed)
        if (runMs > 0) Thread.sleep(runMs)
        return (++runs).toDouble()
    }

    override fun close() {
        closed = true
    }
}

/** Hands out fakes and keeps them in [made]; a model named "bad" is refused. */
class FakeLoader(
    private val probabilities: FloatArray = floatArrayOf(0.2f, 0.7f, 0.1f),
    private val runMs: Long = 0,
    private val confidence: Confidence? = null,
    private val image: ImageSpec = ImageSpec(2, 2),
) : ClassifierLoader {
    val made = mutableListOf<FakeClassifier>()
    val asked = mutableListOf<Pair<String, RunOptions>>()

    /** How many were ever open at the same time. */
    var mostOpen = 0
        private set

    override fun load(model: ModelEntry, options: RunOptions): Classifier {
        asked += model.name to options
        if (model.name.startsWith("bad")) throw ModelException(ModelProblem.Refused("it is bad"))
        return FakeClassifier(probabilities, runMs, confidence, image).also {
            made += it
            mostOpen = maxOf(mostOpen, made.count { one -> !one.closed })
        }
    }
}

class FakeMachine : Machine {
    override val device = Device("Phone", "Maker", "14", 34, "arm64-v8a", "Chip", 8)
    override val runtime = "Fake 1"
    override val tool = "test"
    private var memory = 100.0

    override fun thermalStatus() = "none"

    override fun nativeMemoryMb() = memory.also { memory += 8 }

    override fun peakMemoryMb() = 300.0
}

fun bundled(name: String, scheme: String? = null) = ModelEntry(name, scheme, 1000, ModelEntry.Source.Bundled("folder"))

val somePicture: PixelSource = ArrayPixels(2, 2, IntArray(4))
