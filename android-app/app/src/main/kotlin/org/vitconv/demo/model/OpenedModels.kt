package org.vitconv.demo.model

import org.vitconv.classifier.ModelReader
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem
import org.vitconv.core.schemeOf
import org.vitconv.core.screens.ModelEntry
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.io.OutputStream
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.security.MessageDigest

/**
 * Copies of the files that the user opened: what gave them may be gone the next moment, and can't be mapped. Each is
 * SHA256/NAME in [folder], so that another file of the same name lies beside it until it is forgotten.
 */
class OpenedModels(private val folder: File) {
    /** Those of earlier days; what an import left half done is removed. */
    fun entries(): List<ModelEntry> {
        val (loose, folders) = folder.listFiles().orEmpty().partition { it.isFile }
        val (leftovers, ofEarlierVersions) = loose.partition { it.name.endsWith(UNFINISHED) }
        leftovers.forEach(File::delete)
        val adopted = ofEarlierVersions.mapNotNull { file -> keep(file, digest(file), file.name) }
        val kept = folders.flatMap { it.listFiles().orEmpty().asList() }
        return (kept + adopted).distinct().sortedBy { it.name }.map(::entry)
    }

    /** Copies [stream], a file named [name], and looks whether it is a model. Throws [ModelException]. */
    fun import(name: String, stream: InputStream): ModelEntry {
        val safe = name.substringAfterLast('/').filter { it.isLetterOrDigit() || it in "._- " }.trim('.', ' ').take(100)
        var temporary: File? = null
        try {
            folder.mkdirs()
            temporary = File.createTempFile("import", UNFINISHED, folder)
            val digest = temporary.outputStream().use { copyLimited(stream, it) }
            ModelReader.read(map(temporary))
            val kept = keep(temporary, digest, safe.ifEmpty { "model.tflite" })
            return entry(kept ?: throw IOException("cannot rename ${temporary.name}"))
        } catch (error: IOException) {
            throw ModelException(ModelProblem.Unreadable(error.message ?: "no reason is known"), error)
        } catch (error: RuntimeException) {
            // Another app's stream throws what it likes.
            throw ModelException(ModelProblem.Unreadable(error.message ?: "no reason is known"), error)
        } finally {
            temporary?.delete()
        }
    }

    /** Removes the copy; who has it mapped keeps it until then. */
    fun forget(model: ModelEntry) {
        val file = file(model)
        file.delete()
        file.parentFile?.delete() // unless the same content is there under another name
    }

    /** Throws IOException where the copy is gone. */
    fun map(model: ModelEntry): ByteBuffer = map(file(model))

    private fun file(model: ModelEntry) = File(folder, "${model.sha256}/${model.name}")

    private fun entry(file: File): ModelEntry {
        val content = file.parentFile?.name.orEmpty()
        return ModelEntry(file.name, schemeOf(file.name), file.length(), ModelEntry.Source.Opened, content)
    }

    /** Where [file] lies from now on; null where it cannot be moved. */
    private fun keep(file: File, digest: String, name: String): File? {
        val target = File(folder, "$digest/$name")
        target.parentFile?.mkdirs()
        return target.takeIf(file::renameTo)
    }

    private fun map(file: File): ByteBuffer =
        RandomAccessFile(file, "r").use { it.channel.map(FileChannel.MapMode.READ_ONLY, 0, it.length()) }

    private fun digest(file: File): String = file.inputStream().use { copyLimited(it, null) }

    /** The SHA-256 of what was copied. */
    private fun copyLimited(from: InputStream, to: OutputStream?): String {
        val digest = MessageDigest.getInstance("SHA-256")
        val block = ByteArray(1 shl 16)
        var total = 0L
        while (true) {
            val count = from.read(block)
            if (count < 0) return digest.digest().joinToString("") { "%02x".format(it) }
            total += count
            if (total > LARGEST) throw ModelException(ModelProblem.TooLarge(total, LARGEST))
            digest.update(block, 0, count)
            to?.write(block, 0, count)
        }
    }

    private companion object {
        /** No classifier for a phone is larger. */
        const val LARGEST = 512L shl 20
        const val UNFINISHED = ".tmp"
    }
}
