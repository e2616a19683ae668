package org.vitconv.demo.model

import org.junit.Assume.assumeTrue
import org.vitconv.classifier.BundledModels
import java.io.File
import java.nio.ByteBuffer

/** The models that the build was given with -Dmodels=DIR, or that scripts/test-android made, as files. */
object StagedModels {
    fun files(): List<File> {
        val folder = File(System.getProperty("vitconv.models").orEmpty(), BundledModels.ROOT)
        val files = folder.walk().filter { it.extension == "tflite" }.sorted().toList()
        assumeTrue("no models are staged: run scripts/test-android, or give some with -Dmodels=DIR", files.isNotEmpty())
        return files
    }

    fun direct(bytes: ByteArray): ByteBuffer = ByteBuffer.allocateDirect(bytes.size).put(bytes).rewind() as ByteBuffer
}
