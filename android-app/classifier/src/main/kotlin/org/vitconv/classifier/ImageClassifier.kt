package org.vitconv.classifier

import android.content.res.AssetManager
import android.graphics.Bitmap
import org.vitconv.core.Accelerator
import org.vitconv.core.FileCheck
import org.vitconv.core.ModelInfo
import org.vitconv.core.Ranked
import org.vitconv.core.RunOptions
import org.vitconv.core.SelfTest
import org.vitconv.core.screens.ModelEntry
import org.vitconv.core.screens.plan
import org.vitconv.core.topK
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/**
 * A picture in, labels out, for any image classifier with TFLite metadata. Pictures may have any size: they are brought
 * to the model's as training did it. To be used, and closed, on the thread that made it; not on the main thread.
 */
class ImageClassifier private constructor(
    private val classifier: TfLiteClassifier,
    private val origin: Origin?,
) : AutoCloseable {
    private class Origin(val exports: BundledModels, val model: ModelEntry)

    /** What the file says about itself: labels, size, author. */
    val info: ModelInfo get() = classifier.info

    /** The [count] most probable classes, best first. */
    fun classify(bitmap: Bitmap, count: Int = 5): List<Ranked> =
        topK(classifier.classify(BitmapPixels(bitmap)).probabilities, info.labels, count)

    /**
     * Runs the golden pictures that came with the export, and compares with Keras. Throws IllegalStateException where the
     * model is no export folder's, and IOException where the golden pictures cannot be read.
     */
    fun selfTest(): FileCheck {
        val (exports, model) = checkNotNull(origin) { "a file alone has no golden pictures" }.let { it.exports to it.model }
        val test = SelfTest(model.name, model.scheme.orEmpty(), exports.limits(model))
        for (image in exports.read(model).images) {
            test.add(classifier.classify(exports.picture(model, image.file)).probabilities, image.probabilities)
        }
        return test.result()
    }

    override fun close() = classifier.close()

    companion object {
        /** [file] is the content of a .tflite file, in a direct buffer. Throws [org.vitconv.core.ModelException]. */
        fun of(file: ByteBuffer, options: RunOptions = RunOptions()): ImageClassifier =
            ImageClassifier(TfLiteClassifier.load(file, options, Logcat()), null)

        /** The file at [path] of the assets, which must not be compressed there (`noCompress "tflite"`). */
        fun ofAsset(assets: AssetManager, path: String, options: RunOptions = RunOptions()): ImageClassifier =
            assets.openFd(path).use {
                of(it.createInputStream().channel.map(FileChannel.MapMode.READ_ONLY, it.startOffset, it.declaredLength), options)
            }

        /**
         * A file of [exports]: the one named [name], or the first int8 one. On the GPU it is the one that its export
         * chose for GPUs; a file that the export found refused or wrong there runs on the processor. Throws IOException
         * where there is none.
         */
        fun ofExport(exports: BundledModels, name: String? = null, options: RunOptions = RunOptions()): ImageClassifier {
            val wanted = if (name == null) exports.entries.firstOrNull { it.scheme == "int8" } ?: exports.entries.firstOrNull()
            else exports.entries.firstOrNull { it.name == name }
            val planned = plan(wanted ?: throw IOException("no model ${name.orEmpty()} in the assets"), options, exports.entries)
            val loaded = TfLiteClassifier.load(exports.map(planned.model), planned.options, Logcat())
            return ImageClassifier(loaded, Origin(exports, planned.model))
        }
    }
}
