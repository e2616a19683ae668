package org.vitconv.core

import kotlinx.serialization.Serializable
import kotlinx.serialization.SerializationException
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** What an answer rests on and how sure it is; the numbers are the converter's own: tests/android_fixtures.py. */
class AnswersTest {
    @Serializable
    private data class Covered(val width: Int, val height: Int, val probability: Double, val drops: List<Double>, val spread: List<Double>)

    @Serializable
    private data class Fixtures(
        val occlusion: Covered,
        val confidence: Confidence,
        val given: List<List<Float>>,
        val scores: List<List<Double>>,
    )

    private val fixtures = Documents.decodeFromString(Fixtures.serializer(), javaClass.getResource("/answers.json")!!.readText())

    /** Its answer is the mean of a picture's red values, each weighted. */
    private class Weighted(override val info: ModelInfo, private val weights: DoubleArray) : Classifier {
        override val loadMs = 0.0
        override val delegation = Delegation(1, null, null)
        override val pixels = ByteArray(0)
        var asked = 0

        override fun classify(picture: PixelSource): Answer {
            asked++
            val row = IntArray(picture.width)
            var sum = 0.0
            for (y in 0 until picture.height) {
                picture.readRow(y, row)
                for (x in row.indices) sum += (row[x] shr 16 and 255) * weights[y * picture.width + x]
            }
            return Answer(floatArrayOf(Float.NaN, (sum / (255 * weights.sum())).toFloat()))
        }

        override fun run() = 0.0

        override fun close() = Unit
    }

    private fun weighted(image: ImageSpec): Weighted {
        val turned = drawnPicture(image.height, image.width)
        val weights = DoubleArray(image.height * image.width) {
            val (y, x) = it / image.width to it % image.width
            (turned[x * image.height + y] shr 16 and 255).toDouble().let { red -> red * red }
        }
        val info = ModelInfo(
            "", "", "", "", "", listOf("a", "b"), image, Normalization.NONE,
            TensorSpec(listOf(1, image.height, image.width, 3), TensorType.FLOAT32, null),
            TensorSpec(listOf(1, 2), TensorType.FLOAT32, null), 1,
        )
        return Weighted(info, weights)
    }

    @Test
    fun `covering parts of a picture does what the converter's explain does`() {
        val expected = fixtures.occlusion
        val image = ImageSpec(expected.height, expected.width)
        val classifier = weighted(image)
        val picture = ArrayPixels(image.width, image.height, drawnPicture(image.width, image.height))
        val told = mutableListOf<Pair<Int, Int>>()
        val found = Occlusion.of(classifier, picture, 1) { done, count -> told.add(done to count) }!!
        assertEquals(101, classifier.asked)
        assertEquals(List(102) { it to 101 }, told)
        // Both round to single precision, in which neighbours are 3e-8 apart here.
        assertEquals(expected.probability, found.probability, 1e-7)
        assertArrayEquals(expected.drops.toDoubleArray(), found.drops, 2e-7)
        assertArrayEquals(expected.spread.toDoubleArray(), found.spread, 3e-7)
    }

    @Test
    fun `the strongest part is drawn fully, in the colour of what it speaks for`() {
        val drops = DoubleArray(Occlusion.PLACES * Occlusion.PLACES).apply {
            this[0] = 0.5
            this[size - 1] = -0.1
        }
        val image = ImageSpec(40, 40)
        val overlay = Occlusion(0.9, drops, image).overlay
        val (first, last) = overlay.first() to overlay.last()
        assertEquals(0xE13C14, first and 0xFFFFFF)
        assertEquals(217, first ushr 24)
        assertEquals(0x1E5ADC, last and 0xFFFFFF)
        assertEquals(217 / 5.0, (last ushr 24).toDouble(), 1.0)
        assertTrue(Occlusion(0.9, DoubleArray(100), image).overlay.all { it ushr 24 == 0 })
    }

    @Test
    fun `it ends when nobody waits for it, and a broken answer counts as none`() {
        val image = ImageSpec(20, 20)
        val picture = ArrayPixels(20, 20, drawnPicture(20, 20))
        val classifier = weighted(image)
        assertNull(Occlusion.of(classifier, picture, 1) { done, _ -> done < 5 })
        assertEquals(5, classifier.asked)
        val broken = Occlusion.of(weighted(image), picture, 0) { _, _ -> true }!!
        assertEquals(0.0, broken.probability, 0.0)
        assertTrue(broken.drops.all { it == 0.0 })
    }

    @Test
    fun `scores get the file's temperature as in the converter`() {
        for ((given, expected) in fixtures.given.zip(fixtures.scores)) {
            val scores = fixtures.confidence.apply(given.toFloatArray())
            for ((score, wanted) in scores.zip(expected)) assertEquals(wanted, score.toDouble(), 1e-7)
        }
        assertTrue(fixtures.confidence.apply(floatArrayOf(0.5f, Float.NaN)).all { it.isNaN() })
    }

    @Test
    fun `a threshold is the loosest that promises as much`() {
        val confidence = fixtures.confidence
        assertEquals(listOf(0.05, 0.1), confidence.errorRates)
        assertEquals(listOf(null, null, 0.9, 0.9, 0.6, 0.6), listOf(0.005, 0.01, 0.05, 0.07, 0.1, 0.5).map(confidence::least))
    }

    @Test
    fun `what contradicts itself is refused`() {
        for (text in listOf(
            """{"temperature": 0, "floor": 0.001}""",
            """{"temperature": 1, "floor": 0}""",
            """{"temperature": 1, "floor": 0.1, "thresholds": [{"error_rate": 2, "least": 0.5}]}""",
            """{"temperature": 1, "floor": 0.1, "thresholds": [{"error_rate": 0.1, "least": 1.5}]}""",
        )) assertThrows(IllegalArgumentException::class.java) { Documents.decodeFromString(Confidence.serializer(), text) }
        assertThrows(SerializationException::class.java) { Documents.decodeFromString(Confidence.serializer(), "{}") }
    }
}
