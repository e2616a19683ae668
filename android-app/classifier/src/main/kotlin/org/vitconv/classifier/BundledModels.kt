package org.vitconv.classifier

import android.content.res.AssetFileDescriptor
import android.content.res.AssetManager
import kotlinx.serialization.KSerializer
import kotlinx.serialization.SerializationException
import kotlinx.serialization.builtins.ListSerializer
import kotlinx.serialization.builtins.serializer
import org.vitconv.core.Documents
import org.vitconv.core.ExportManifest
import org.vitconv.core.GoldenSet
import org.vitconv.core.Limits
import org.vitconv.core.PixelSource
import org.vitconv.core.screens.GoldenImages
import org.vitconv.core.screens.ModelEntry
import org.vitconv.core.screens.PictureException
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/**
 * The export folders in the app's assets: models/NAME/manifest.json, the files that it names, golden/; and
 * models/index.json, the list of the NAMEs.
 */
class BundledModels(private val assets: AssetManager) : GoldenImages {
    private val manifests: Map<String, ExportManifest> = folders()
        .associateWith { read("$ROOT/$it/manifest.json", ExportManifest.serializer()) }

    val entries: List<ModelEntry> = manifests.flatMap { (folder, manifest) ->
        manifest.files.map {
            val source = ModelEntry.Source.Bundled(folder)
            ModelEntry(it.path, it.scheme, it.bytes, source, it.sha256, it.gpu, isGpuFile = it.path == manifest.gpuFile)
        }
    }

    /** The file, mapped from the APK: it is not copied, and its pages are read when they are needed. */
    fun map(model: ModelEntry): ByteBuffer = assets.openFd("$ROOT/${folder(model)}/${model.name}").use { it.map() }

    override fun read(model: ModelEntry): GoldenSet =
        read("$ROOT/${folder(model)}/${manifest(model).golden}", GoldenSet.serializer())

    override fun picture(model: ModelEntry, file: String): PixelSource {
        val folder = manifest(model).golden.substringBeforeLast('/', "")
        return try {
            assets.open("$ROOT/${folder(model)}/$folder/$file").use { PictureDecoder.decode(it.readBytes()) }
        } catch (error: PictureException) {
            throw IOException("$folder/$file of ${folder(model)} is no picture", error)
        }
    }

    override fun limits(model: ModelEntry): Limits =
        manifest(model).files.first { it.path == model.name }.limits
            ?: throw IOException("the manifest of ${folder(model)} has no limits: export the models again")

    /** None where the app was built without models. */
    private fun folders(): List<String> =
        if (INDEX in assets.list(ROOT).orEmpty()) read("$ROOT/$INDEX", ListSerializer(String.serializer())) else emptyList()

    private fun folder(model: ModelEntry): String = (model.source as ModelEntry.Source.Bundled).folder

    private fun manifest(model: ModelEntry): ExportManifest = manifests.getValue(folder(model))

    private fun <T> read(path: String, serializer: KSerializer<T>): T = try {
        Documents.decodeFromString(serializer, assets.open(path).use { it.readBytes().decodeToString() })
    } catch (error: SerializationException) {
        throw IOException("$path is not as an export writes it: ${error.message}", error)
    } catch (error: IllegalArgumentException) {
        throw IOException("$path is not as an export writes it: ${error.message}", error)
    }

    companion object {
        const val ROOT = "models"
        private const val INDEX = "index.json"

        private fun AssetFileDescriptor.map(): ByteBuffer =
            createInputStream().channel.map(FileChannel.MapMode.READ_ONLY, startOffset, declaredLength)
    }
}
