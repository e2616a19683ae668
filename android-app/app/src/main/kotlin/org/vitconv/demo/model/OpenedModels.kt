package org.vitconv.demo.model

import org.vitconv.demo.core.ModelException
import org.vitconv.demo.core.ModelProblem
import org.vitconv.demo.core.schemeOf
import org.vitconv.demo.core.screens.ModelEntry
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/** Copies of the files that the user opened: what gave them may be gone the next moment, and can't be mapped. */
class OpenedModels(private val folder: File) {
    /** Those of earlier days; what an import left half done is removed. */
    fun entries(): List<ModelEntry> {
        val (whole, leftovers) = folder.listFiles().orEmpty().sorted().partition { !it.name.endsWith(UNFINISHED) }
        leftovers.forEach(File::delete)
        return whole.map(::entry)
    }

    /** Copies [stream], a file named [name], and looks whether it is a model. Throws [ModelException]. */
    fun import(name: String, stream: InputStream): ModelEntry {
        val safe = name.substringAfterLast('/').filter { it.isLetterOrDigit() || it in "._- " }.trim('.', ' ').take(100)
        val target = File(folder, safe.ifEmpty { "model.tflite" })
        val temporary = File(folder, target.name + UNFINISHED)
        try {
            folder.mkdirs()
            temporary.outputStream().use { copyLimited(stream, it) }
            ModelReader.read(map(temporary))
            if (!temporary.renameTo(target)) throw IOException("cannot rename ${temporary.name}")
        } catch (error: IOException) {
            throw ModelException(ModelProblem.Unreadable(error.message ?: "no reason is known"), error)
        } catch (error: SecurityException) {
            throw ModelException(ModelProblem.Unreadable(error.message ?: "not allowed"), error)
        } finally {
            temporary.delete()
        }
        return entry(target)
    }

    private fun entry(file: File) = ModelEntry(file.name, schemeOf(file.name), file.length(), ModelEntry.Source.Opened)

    fun map(model: ModelEntry): ByteBuffer = map(File(folder, model.name))

    private fun map(file: File): ByteBuffer =
        RandomAccessFile(file, "r").use { it.channel.map(FileChannel.MapMode.READ_ONLY, 0, it.length()) }

    private fun copyLimited(from: InputStream, to: java.io.OutputStream) {
        val block = ByteArray(1 shl 16)
        var total = 0L
        while (true) {
            val count = from.read(block)
            if (count < 0) return
            total += count
            if (total > LARGEST) throw ModelException(ModelProblem.TooLarge(total, LARGEST))
            to.write(block, 0, count)
        }
    }

    private companion object {
        /** No classifier for a phone is larger. */
        const val LARGEST = 512L shl 20
        const val UNFINISHED = ".tmp"
    }
}
