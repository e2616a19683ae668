package org.vitconv.demo.picture

import android.graphics.Bitmap
import android.net.Uri
import kotlinx.serialization.Serializable
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.vitconv.classifier.PictureDecoder
import org.vitconv.core.Documents
import org.vitconv.core.ImageSpec
import org.vitconv.core.Resampler
import org.vitconv.core.screens.PictureException
import org.vitconv.core.screens.PictureProblem
import org.vitconv.demo.TestApplication
import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.FileNotFoundException
import java.io.InputStream
import java.util.Base64
import kotlin.random.Random

/** Android's own decoders on the files of tests/android_fixtures.py. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = TestApplication::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class PictureDecoderTest {
    @Serializable
    private data class Expected(val image: ImageSpec, val expected: Map<String, String>)

    private fun file(name: String): ByteArray = javaClass.getResource("/pictures/$name")!!.readBytes()

    private val fixtures = Documents.decodeFromString(Expected.serializer(), file("pictures.json").decodeToString())

    @Test
    fun `every picture file becomes what the converter makes of it, to one step of 255`() {
        val resampler = Resampler(fixtures.image)
        val rgb = ByteArray(fixtures.image.height * fixtures.image.width * 3)
        val worst = fixtures.expected.mapValues { (name, expected) ->
            resampler.resample(PictureDecoder.decode(file(name)), rgb)
            val wanted = Base64.getDecoder().decode(expected)
            rgb.indices.maxOf { Math.abs((rgb[it].toInt() and 255) - (wanted[it].toInt() and 255)) }
        }
        assertTrue("$worst", worst.values.all { it <= 1 })
        assertEquals(13, worst.size)
    }

    @Test
    @Config(sdk = [26])
    fun `before Android 9 pictures are turned upright, too, and what is none is refused`() {
        val resampler = Resampler(fixtures.image)
        for ((name, expected) in fixtures.expected.filterKeys { it.startsWith("turned") || it == "plain.jpg" }) {
            val rgb = ByteArray(fixtures.image.height * fixtures.image.width * 3)
            resampler.resample(PictureDecoder.decode(file(name)), rgb)
            val wanted = Base64.getDecoder().decode(expected)
            val worst = rgb.indices.maxOf { Math.abs((rgb[it].toInt() and 255) - (wanted[it].toInt() and 255)) }
            assertTrue("$name: $worst", worst <= 1)
        }
        val error = assertThrows(PictureException::class.java) { PictureDecoder.decode("no picture".toByteArray()) }
        assertEquals(PictureProblem.NotAPicture, error.problem)
    }

    @Test
    fun `a picture of 100 megapixels is read in parts`() {
        assertEquals(listOf(1, 1, 2, 4), listOf(100 to 100, 4000 to 4000, 4001 to 4000, 11_600 to 8_700).map { (w, h) -> PictureDecoder.sampleSize(w, h) })
        val large = Bitmap.createBitmap(5000, 4000, Bitmap.Config.RGB_565)
        val out = ByteArrayOutputStream()
        large.compress(Bitmap.CompressFormat.JPEG, 50, out)
        val decoded = PictureDecoder.decode(out.toByteArray())
        assertEquals(2500 to 2000, decoded.width to decoded.height)
    }

    /** A picture in front of [padding] zeros, which are made as they are read. */
    private class LongFile(picture: ByteArray, private val padding: Long) : InputStream() {
        private val picture = ByteArrayInputStream(picture)
        var given = 0L
            private set

        override fun read(): Int {
            if (given++ < padding) return picture.read().coerceAtLeast(0)
            return -1
        }

        override fun read(into: ByteArray, offset: Int, length: Int): Int {
            if (length == 0) return 0
            val count = picture.read(into, offset, length).takeIf { it > 0 } ?: minOf(length.toLong(), padding - given).toInt()
            if (count <= 0) return -1
            given += count
            return count
        }
    }

    @Test
    fun `of a file larger than any memory only the picture is read`() {
        val uri = Uri.parse("content://elsewhere/huge.jpg")
        val resolver = RuntimeEnvironment.getApplication().contentResolver
        val opened = mutableListOf<LongFile>()
        shadowOf(resolver).registerInputStreamSupplier(uri) { LongFile(file("plain.jpg"), 1L shl 40).also(opened::add) }
        val decoded = PictureReader(resolver).read(uri)
        val whole = PictureDecoder.decode(file("plain.jpg"))
        assertEquals(whole.width to whole.height, decoded.width to decoded.height)
        assertTrue(whole.bitmap.sameAs(decoded.bitmap))
        assertTrue("${opened.map { it.given }}", opened.isNotEmpty() && opened.all { it.given < 1 shl 20 })
    }

    @Test
    fun `what a provider throws is no fault of the picture`() {
        val resolver = RuntimeEnvironment.getApplication().contentResolver
        val failures = listOf<() -> InputStream>(
            { throw IllegalStateException("the provider is broken") },
            { throw SecurityException("not for you") },
            { throw FileNotFoundException("gone") },
        )
        failures.forEachIndexed { index, open ->
            val uri = Uri.parse("content://elsewhere/broken$index.jpg")
            shadowOf(resolver).registerInputStreamSupplier(uri) { open() }
            val error = assertThrows(PictureException::class.java) { PictureReader(resolver).read(uri) }
            assertEquals("$index: ${error.cause}", PictureProblem.CannotOpen, error.problem)
        }
    }

    @Test
    fun `what is no picture is refused`() {
        for (bytes in listOf(ByteArray(0), "GIF89a".toByteArray(), ByteArray(1000) { it.toByte() })) {
            assertThrows(PictureException::class.java) { PictureDecoder.decode(bytes) }
        }
    }

    @Test
    fun `a thousand damaged pictures are refused or decoded, and nothing breaks`() {
        val random = Random(1)
        val originals = fixtures.expected.keys.map(::file)
        var refused = 0
        repeat(1000) {
            val damaged = damage(originals[it % originals.size], random)
            try {
                val pixels = PictureDecoder.decode(damaged)
                assertTrue(pixels.width > 0 && pixels.height > 0)
            } catch (_: PictureException) {
                refused++
            }
        }
        assertTrue("$refused of 1000 were refused", refused in 200..999)
    }
}

/** Changes a few bytes, cuts the end off, or repeats a part. */
fun damage(original: ByteArray, random: Random): ByteArray = when (random.nextInt(4)) {
    0 -> original.copyOf(random.nextInt(original.size))
    1 -> {
        val at = random.nextInt(original.size)
        original.copyOf(at) + original.copyOfRange(random.nextInt(at + 1), original.size)
    }
    else -> original.copyOf().also { bytes ->
        repeat(1 + random.nextInt(20)) { bytes[random.nextInt(bytes.size)] = random.nextInt().toByte() }
    }
}
