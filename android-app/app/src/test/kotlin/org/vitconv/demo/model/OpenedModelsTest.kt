package org.vitconv.demo.model

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem
import org.vitconv.core.screens.ModelEntry
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer

class OpenedModelsTest {
    @get:Rule
    val folder = TemporaryFolder()
    private val models by lazy { OpenedModels(folder.root) }

    private fun content(buffer: ByteBuffer) = ByteArray(buffer.remaining()).also { buffer.get(it) }

    private fun files() = folder.root.walk().filter(File::isFile).toList()

    /** Two models of the same name and size: the second one's weights are others. */
    private fun twoTrainings(): Pair<ByteArray, ByteArray> {
        val before = StagedModels.files().minBy { it.length() }.readBytes()
        val after = before.copyOf().also { it[it.size / 2] = (it[it.size / 2] + 1).toByte() }
        return before to after
    }

    @Test
    fun `a retrained file of the same name and size is another model`() {
        val (before, after) = twoTrainings()
        val first = models.import("mine.tflite", before.inputStream())
        val second = models.import("mine.tflite", after.inputStream())
        assertNotEquals(first, second)
        assertEquals(first.name to first.bytes, second.name to second.bytes)
        assertEquals(listOf(before.toList(), after.toList()), listOf(first, second).map { content(models.map(it)).toList() })
        models.forget(first)
        assertEquals(listOf(second), OpenedModels(folder.root).entries())
        models.forget(second)
        assertEquals(emptyList<String>(), folder.root.list().orEmpty().asList())
    }

    @Test
    fun `the same content under two names is kept under both`() {
        val (bytes) = twoTrainings()
        val entries = listOf("a.tflite", "b.tflite").map { models.import(it, bytes.inputStream()) }
        models.forget(entries[0])
        assertEquals(listOf(entries[1]), models.entries())
        assertEquals(bytes.toList(), content(models.map(entries[1])).toList())
    }

    @Test
    fun `what is no model leaves nothing behind`() {
        val error = assertThrows(ModelException::class.java) { models.import("x.tflite", "no model".byteInputStream()) }
        assertEquals(ModelProblem.NotAModel, error.problem)
        assertEquals(emptyList<File>(), files())
    }

    @Test
    fun `whatever another app calls its file, the copy lies in the folder and has a name`() {
        val (bytes) = twoTrainings()
        for ((given, kept) in listOf("" to "model.tflite", "../../etc/.hidden" to "hidden", "a:b?.tflite" to "ab.tflite", "..." to "model.tflite")) {
            val entry = models.import(given, bytes.inputStream())
            assertEquals(kept, entry.name)
            assertEquals(bytes.size, models.map(entry).remaining())
        }
        assertTrue(files().all { it.parentFile?.parentFile == folder.root })
    }

    @Test
    fun `a stream that breaks off is named, and leaves nothing behind`() {
        for (broken in listOf(IOException("unplugged"), IOException(), IllegalStateException("its app died"), IllegalStateException())) {
            val stream = object : InputStream() {
                override fun read(): Int = throw broken
                override fun read(into: ByteArray, offset: Int, length: Int): Int = throw broken
            }
            val problem = assertThrows(ModelException::class.java) { models.import("x.tflite", stream) }.problem
            assertEquals(ModelProblem.Unreadable(broken.message ?: "no reason is known"), problem)
        }
        assertEquals(emptyList<File>(), files())
    }

    @Test
    fun `files of an earlier version are taken over, and leftovers removed`() {
        folder.newFile("mine-int8.tflite").writeText("abc")
        folder.newFile("import7.tmp").writeText("half")
        val entry = ModelEntry(
            "mine-int8.tflite", "int8", 3, ModelEntry.Source.Opened,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        )
        repeat(2) { assertEquals(listOf(entry), models.entries()) }
        assertEquals("abc", content(models.map(entry)).decodeToString())
        assertEquals(1, files().size)
    }
}
