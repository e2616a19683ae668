package org.vitconv.demo.inference

import kotlinx.coroutines.runBlocking
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.vitconv.classifier.BitmapPixels
import org.vitconv.classifier.BundledModels
import org.vitconv.classifier.ImageClassifier
import org.vitconv.classifier.RuntimeLog
import org.vitconv.classifier.TfLiteClassifier
import org.vitconv.classifier.read
import org.vitconv.core.Accelerator
import org.vitconv.core.ArrayPixels
import org.vitconv.core.Delegation
import org.vitconv.core.Documents
import org.vitconv.core.ExportManifest
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem
import org.vitconv.core.Orientation
import org.vitconv.core.OrientedPixels
import org.vitconv.core.PixelSource
import org.vitconv.core.Plane
import org.vitconv.core.RunOptions
import org.vitconv.core.SelfTest
import org.vitconv.core.YuvFrame
import org.vitconv.core.screens.ModelEntry
import org.vitconv.core.screens.ModelsState
import org.vitconv.core.screens.Seen
import org.vitconv.core.topK
import org.vitconv.demo.DemoApplication
import org.vitconv.demo.camera.PlanesImage
import org.vitconv.demo.model.StagedModels
import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import kotlin.math.roundToInt

/**
 * The app as it is, on the library that it ships: Android's x86_64 build of TensorFlow Lite in this process, with
 * stand-ins for Android's C library. From asset to bitmap, preprocessing, interpreter and label, against Keras.
 */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = DemoApplication::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class AndroidRuntimeTest {
    private val application get() = RuntimeEnvironment.getApplication() as DemoApplication
    private val parts by lazy { runBlocking { application.parts() } }
    private val models by lazy { BundledModels(application.assets) }

    private object NoLog : RuntimeLog {
        override fun mark() = ""

        override fun delegationSince(marker: String, nodes: Int) = Delegation(nodes, null, null)
    }

    @Before
    fun theLibraryAndModelsAreThere() {
        val runtime = System.getProperty("vitconv.android.runtime").orEmpty()
        assumeTrue("Android's TensorFlow Lite is not here: see what `python3 -m vitconv.runtimes.android` says", runtime.isNotEmpty())
        StagedModels.files()
    }

    @Test
    fun `every bundled file passes the app's self-test`() {
        val document = runBlocking { parts.selfTests(this).run() }
        assertTrue(Documents.encodeToString(org.vitconv.core.SelfTestDocument.serializer(), document), document.passed)
        assertEquals(StagedModels.files().size, document.files.size)
        assertTrue(document.files.all { it.images == 8 })
    }

    private fun check(model: ModelEntry, options: RunOptions) {
        TfLiteClassifier.load(models.map(model), options, NoLog).use { classifier ->
            val test = SelfTest(model.name, model.scheme.orEmpty(), models.limits(model))
            for (image in models.read(model).images) {
                test.add(classifier.classify(models.picture(model, image.file)).probabilities, image.probabilities)
            }
            assertTrue("${model.name} $options: ${test.result()}", test.result().passed)
        }
    }

    @Test
    fun `plain kernels give the same answers within the limits`() {
        for (model in models.entries) check(model, RunOptions(1, Accelerator.CPU))
    }

    @Test
    fun `two threads give the same answers within the limits`() {
        check(models.entries.first { it.scheme == "float32" }, RunOptions(2, Accelerator.XNNPACK))
    }

    @Test
    fun `what the model was given can be looked at`() {
        TfLiteClassifier.load(models.map(models.entries.first { it.scheme == "int8" }), RunOptions(), NoLog).use { classifier ->
            val (height, width) = classifier.info.image
            val picture = ArrayPixels(width, height, IntArray(width * height) { (255 shl 24) or (it * 7919) })
            classifier.classify(picture)
            val seen = Seen.of(classifier, picture)
            fun rows(pixels: PixelSource) = List(height) { y -> IntArray(width).also { pixels.readRow(y, it) }.toList() }
            assertEquals(rows(picture), rows(seen.pixels))
            assertFalse(seen.isPart)
        }
    }

    @Test
    fun `a picture upside down is noticed`() {
        val model = models.entries.first { it.scheme == "float32" }
        val test = SelfTest(model.name, "float32", models.limits(model))
        TfLiteClassifier.load(models.map(model), RunOptions(), NoLog).use { classifier ->
            for (image in models.read(model).images) {
                val picture = models.picture(model, image.file)
                val turned = object : PixelSource by picture {
                    override fun readRow(y: Int, argb: IntArray) = picture.readRow(picture.height - 1 - y, argb)
                }
                test.add(classifier.classify(turned).probabilities, image.probabilities)
            }
        }
        assertFalse(test.result().passed)
    }

    @Test
    fun `the label shown is that of Keras's first class`() {
        val model = models.entries.first { it.scheme == "float32" }
        val folder = (model.source as ModelEntry.Source.Bundled).folder
        val labels = application.assets.open("models/$folder/labels.txt").reader().readLines()
        TfLiteClassifier.load(models.map(model), RunOptions(), NoLog).use { classifier ->
            for (image in models.read(model).images) {
                val answer = classifier.classify(models.picture(model, image.file))
                val best = topK(answer.probabilities, classifier.info.labels, 1).single()
                assertEquals(labels[image.probabilities.indices.maxBy { image.probabilities[it] }], best.label)
            }
        }
    }

    /** What a camera whose sensor is turned as [orientation] says makes of [upright]; its sides must be even. */
    private fun frameOf(upright: PixelSource, orientation: Orientation): PlanesImage {
        val rows = List(upright.height) { y -> IntArray(upright.width).also { upright.readRow(y, it) } }
        val (width, height) = if (orientation.swapsSides) upright.height to upright.width else upright.width to upright.height
        // Where OrientedPixels takes each upright pixel from is where it lies in the frame.
        val places = OrientedPixels(IntArray(width * height) { it }, width, height, orientation)
        val stored = IntArray(width * height)
        val row = IntArray(upright.width)
        for (y in 0 until upright.height) {
            places.readRow(y, row)
            for (x in row.indices) stored[row[x]] = rows[y][x]
        }
        fun chroma(red: Double, green: Double, blue: Double) = ByteArray(width / 2 * (height / 2)) { at ->
            val (y, x) = at / (width / 2) * 2 to at % (width / 2) * 2
            val four = listOf(0, 1, width, width + 1).map { stored[y * width + x + it] }
            (128 + four.sumOf { red * (it shr 16 and 255) + green * (it shr 8 and 255) + blue * (it and 255) } / 4).roundToInt().coerceIn(0, 255).toByte()
        }
        val luma = ByteArray(stored.size) { (0.299 * (stored[it] shr 16 and 255) + 0.587 * (stored[it] shr 8 and 255) + 0.114 * (stored[it] and 255)).roundToInt().toByte() }
        val planes = listOf(
            Plane(ByteBuffer.wrap(luma), width, 1),
            Plane(ByteBuffer.wrap(chroma(-0.168736, -0.331264, 0.5)), width / 2, 1),
            Plane(ByteBuffer.wrap(chroma(0.5, -0.418688, -0.081312)), width / 2, 1),
        )
        return PlanesImage(width, height, planes)
    }

    @Test
    fun `the camera's label is the gallery's and Keras's, however the sensor lies`() {
        val model = models.entries.first { it.scheme == "float32" }
        val frame = YuvFrame()
        TfLiteClassifier.load(models.map(model), RunOptions(), NoLog).use { classifier ->
            for (image in models.read(model).images) {
                val picture = models.picture(model, image.file)
                val expected = image.probabilities.indices.maxBy { image.probabilities[it] }
                fun label(pixels: PixelSource) = topK(classifier.classify(pixels).probabilities, classifier.info.labels, 1).single().index
                assertEquals(expected, label(picture))
                for (orientation in Orientation.entries) {
                    assertEquals("$orientation", expected, label(frame.read(frameOf(picture, orientation), orientation)))
                }
            }
        }
    }

    @Test
    fun `the five lines of the library's README do what they say`() {
        val context = application
        val bitmap = (models.picture(models.entries.first(), models.read(models.entries.first()).images.first().file) as BitmapPixels).bitmap
        val exports = BundledModels(context.assets)
        val classifier = ImageClassifier.ofExport(exports, options = RunOptions(accelerator = Accelerator.XNNPACK))
        val best = classifier.classify(bitmap)
        check(classifier.selfTest().passed)
        classifier.close()
        assertEquals(5, best.size)
        assertEquals(models.read(models.entries.first()).images.first().probabilities.let { all -> all.indices.maxBy { all[it] } }, best[0].index)
        val readme = File("../classifier/README.md").readText().substringAfter("```kotlin\n").substringBefore("```").trim().lines()
        assertEquals(5, readme.size)
        val test = File("src/test/kotlin/org/vitconv/demo/inference/AndroidRuntimeTest.kt").readLines().map { it.trim() }
        assertTrue(test.windowed(5).any { it == readme })
    }

    @Test
    fun `a file alone is a classifier, too, and one that no export has is said to be missing`() {
        val model = models.entries.first()
        val folder = (model.source as ModelEntry.Source.Bundled).folder
        ImageClassifier.ofAsset(application.assets, "models/$folder/${model.name}").use { alone ->
            assertTrue(alone.info.labels.size > 1)
            assertThrows(IllegalStateException::class.java) { alone.selfTest() }
        }
        assertThrows(IOException::class.java) { ImageClassifier.ofExport(models, "nothing.tflite") }
        ImageClassifier.ofExport(models, models.entries.last().name).use { assertTrue(it.selfTest().passed) }
    }

    @Test
    fun `a benchmark gives times, and says that the log told nothing of the delegate`() {
        val model = models.entries.first { it.scheme == "int8" }
        val document = runBlocking { parts.benchmarks(this).run(listOf(model), RunOptions(), 5) }
        val file = document.files.single()
        assertTrue("$file", file.p50Ms > 0 && file.p95Ms >= file.p50Ms && file.initMs > 0 && file.firstMs > 0)
        assertEquals("TensorFlow Lite 2.16.1, xnnpack", document.runtime)
        assertEquals(null, file.delegatedNodes)
    }

    @Test
    fun `an accelerator that is not there is refused with words`() {
        val model = models.entries.first()
        val error = assertThrows(ModelException::class.java) {
            TfLiteClassifier.load(models.map(model), RunOptions(1, Accelerator.GPU), NoLog)
        }
        assertEquals(ModelProblem.NoAccelerator(Accelerator.GPU), error.problem)
    }

    @Test
    fun `a copy that is gone is refused with words`() {
        val bytes = StagedModels.files().minBy { it.length() }.readBytes()
        val entry = application.openedModels.import("mine.tflite", bytes.inputStream())
        application.openedModels.forget(entry)
        runBlocking { parts.models.open("mine.tflite") { entry } }
        val state = parts.models.state.value
        assertTrue("$state", state is ModelsState.Refused && state.problem is ModelProblem.Unreadable)
    }

    @Test
    fun `a model whose weights were cut away is refused by the runtime, not by a crash`() {
        val bytes = StagedModels.files().first().readBytes()
        val error = assertThrows(ModelException::class.java) {
            TfLiteClassifier.load(StagedModels.direct(bytes.copyOf(bytes.size / 2)), RunOptions(), NoLog)
        }
        assertTrue(error.problem.message.isNotBlank())
    }

    @Test
    fun `the manifest says how far a file may be from Keras`() {
        val folder = StagedModels.files().first().parentFile!!.name
        val text = application.assets.open("models/$folder/manifest.json").reader().readText()
        val manifest = Documents.decodeFromString(ExportManifest.serializer(), text)
        assertTrue(manifest.files.all { it.limits != null })
    }

    @Test
    fun `the file for the GPU is the one that the export names`() {
        val folder = StagedModels.files().first().parentFile!!
        val manifest = Documents.decodeFromString(ExportManifest.serializer(), File(folder, "manifest.json").readText())
        val entries = models.entries.filter { it.source == ModelEntry.Source.Bundled(folder.name) }
        assertEquals(listOfNotNull(manifest.gpuFile), entries.filter { it.isGpuFile }.map { it.name })
        assertTrue("$entries", entries.all { it.gpu != null } && entries.first { it.isGpuFile }.gpu?.fit == true)
    }
}
