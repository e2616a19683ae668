package org.vitconv.core

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Base64

/** The numbers are the converter's own: tests/android_fixtures.py. */
class PreprocessingTest {
    @Serializable
    private data class Case(val width: Int, val height: Int, val orientation: Int, val image: ImageSpec, val expected: String)

    @Serializable
    private data class Expected(val samples: List<Double>, val percentiles: Map<String, Double>, @SerialName("median_interval") val medianInterval: List<Double>)

    @Serializable
    private data class Input(
        val type: String,
        val scale: Float?,
        @SerialName("zero_point") val zeroPoint: Int?,
        val mean: List<Float>?,
        val deviation: List<Float>?,
        val expected: String,
    )

    @Serializable
    private data class Fixtures(val cases: List<Case>, val inputs: List<Input>, val statistics: Expected)

    private val fixtures = Documents.decodeFromString(
        Fixtures.serializer(),
        javaClass.getResource("/preprocessing.json")!!.readText(),
    )

    private fun largestDifference(expected: String, actual: ByteArray): Int {
        val wanted = Base64.getDecoder().decode(expected)
        assertEquals(wanted.size, actual.size)
        return wanted.indices.maxOf { Math.abs((wanted[it].toInt() and 255) - (actual[it].toInt() and 255)) }
    }

    private fun prepare(case: Case): ByteArray {
        val source = OrientedPixels(drawnPicture(case.width, case.height), case.width, case.height, Orientation.ofExif(case.orientation))
        return ByteArray(case.image.height * case.image.width * 3).also { Resampler(case.image).resample(source, it) }
    }

    @Test
    fun `every picture becomes what the converter makes of it, to one step of 255`() {
        assertEquals(8, fixtures.cases.map { it.orientation }.distinct().size)
        for (case in fixtures.cases) {
            val name = "${case.width}×${case.height}, orientation ${case.orientation} → ${case.image}"
            assert(largestDifference(case.expected, prepare(case)) <= 1) { name }
        }
    }

    @Test
    fun `the part that is cut out lies inside every picture`() {
        for (side in listOf(7, 120, 224, 280)) {
            val spec = ImageSpec(side, side, resize = ResizeRule.CENTER_CROP)
            for (width in 1..1200) {
                val box = spec.sourceBox(width, 1200)
                assert(box.left >= 0 && box.top >= 0 && box.right <= width && box.bottom <= 1200) { "$side, $width: $box" }
            }
        }
    }

    @Test
    fun `without the growing filter the result would differ`() {
        // The mutant: every other pixel, instead of all that the triangle covers.
        val case = fixtures.cases.first { it.width == 64 }
        val pixels = drawnPicture(64, 64)
        val skipping = ByteArray(32 * 32 * 3)
        val every = IntArray(32 * 32) { pixels[it / 32 * 2 * 64 + it % 32 * 2] }
        Resampler(case.image).resample(ArrayPixels(32, 32, every), skipping)
        assert(largestDifference(case.expected, skipping) > 20)
    }

    @Test
    fun `inputs of every kind get the values that the converter gives them`() {
        val grey = ByteArray(256 * 3) { (it / 3).toByte() }
        assertEquals(TensorType.entries.size, fixtures.inputs.map { it.type }.distinct().size)
        for (case in fixtures.inputs) {
            val type = TensorType.entries.first { it.label == case.type }
            // As ModelReader makes it of an integer tensor without a scale.
            val quantization = if (type == TensorType.FLOAT32) null else Quantization(case.scale ?: 1f, case.zeroPoint ?: 0)
            val spec = TensorSpec(listOf(1, 256, 1, 3), type, quantization)
            val normalization = case.mean?.let { Normalization(it, case.deviation!!) }
            val buffer = ByteBuffer.allocate(spec.bytes).order(ByteOrder.LITTLE_ENDIAN)
            InputWriter(spec, normalization).write(grey, buffer)
            val wanted = ByteBuffer.wrap(Base64.getDecoder().decode(case.expected)).order(ByteOrder.LITTLE_ENDIAN)
            repeat(256 * 3) {
                if (type == TensorType.FLOAT32) {
                    assertEquals(case.toString(), wanted.getFloat(), buffer.getFloat(), 1e-5f)
                } else {
                    assertEquals(case.toString(), wanted.get(), buffer.get())
                }
            }
        }
    }

    @Test
    fun `transparency is laid over black`() {
        val rgb = ByteArray(3)
        Resampler(ImageSpec(1, 1)).resample(ArrayPixels(1, 1, intArrayOf(0x80FF8000.toInt())), rgb)
        assertArrayEquals(byteArrayOf(128.toByte(), 64, 0), rgb)
    }

    @Test
    fun `a picture without pixels is refused`() {
        assertThrows(IllegalArgumentException::class.java) {
            Resampler(ImageSpec(1, 1)).resample(ArrayPixels(0, 5, IntArray(0)), ByteArray(3))
        }
    }

    @Test
    fun `percentiles and the interval of the median are the converter's`() {
        val statistics = Statistics(fixtures.statistics.samples.toDoubleArray())
        for ((percent, expected) in fixtures.statistics.percentiles) {
            assertEquals(percent, expected, statistics.percentile(percent.toDouble()), 1e-9)
        }
        val (low, high) = statistics.medianInterval()
        assertEquals(fixtures.statistics.medianInterval, listOf(low, high))
        assertEquals(fixtures.statistics.samples.average(), statistics.mean, 1e-9)
    }

    @Test
    fun `one sample is every percentile of itself`() {
        val statistics = Statistics(doubleArrayOf(3.0))
        assertEquals(listOf(3.0, 3.0), listOf(5.0, 95.0).map(statistics::percentile))
        assertEquals(3.0 to 3.0, statistics.medianInterval())
    }

    @Test
    fun `pictures of another height or width are not resized as the one before`() {
        for (rule in ResizeRule.entries) {
            val spec = ImageSpec(5, 4, resize = rule)
            val kept = Resampler(spec)
            for ((width, height) in listOf(9 to 12, 9 to 7, 16 to 7, 4 to 5, 4 to 9, 9 to 5)) {
                val picture = ArrayPixels(width, height, IntArray(width * height) { (255 shl 24) or (it * 1_234_567 and 0xFFFFFF) })
                val expected = ByteArray(60).also { Resampler(spec).resample(picture, it) }
                assertArrayEquals("$width × $height, $rule", expected, ByteArray(60).also { kept.resample(picture, it) })
            }
        }
    }
}
