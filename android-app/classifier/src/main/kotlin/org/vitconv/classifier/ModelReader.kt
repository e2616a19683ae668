package org.vitconv.classifier

import kotlinx.serialization.Serializable
import org.tensorflow.lite.schema.Model
import org.tensorflow.lite.support.metadata.MetadataExtractor
import org.tensorflow.lite.support.metadata.schema.AssociatedFileType
import org.tensorflow.lite.support.metadata.schema.NormalizationOptions
import org.tensorflow.lite.support.metadata.schema.ProcessUnitOptions
import org.tensorflow.lite.support.metadata.schema.TensorMetadata
import org.vitconv.core.Confidence
import org.vitconv.core.Documents
import org.vitconv.core.ImageSpec
import org.vitconv.core.ModelException
import org.vitconv.core.ModelInfo
import org.vitconv.core.ModelProblem
import org.vitconv.core.Normalization
import org.vitconv.core.Quantization
import org.vitconv.core.TensorSpec
import org.vitconv.core.TensorType
import java.io.ByteArrayOutputStream
import java.io.IOException
import java.io.InputStream
import java.nio.BufferUnderflowException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.charset.CodingErrorAction

/** Reads what a .tflite file says about itself, by TensorFlow Lite's metadata library. */
object ModelReader {
    /** Far above any list of labels; stops an archive that would unpack into gigabytes. */
    private const val LARGEST_ASSOCIATED_FILE = 16 shl 20

    /** The file of the converter that holds what TFLite's metadata have no fields for. */
    private const val FACTS = "vitconv.json"

    private const val FILE_IDENTIFIER = "TFL3"

    @Serializable
    private data class Facts(val image: ImageSpec, val confidence: Confidence? = null)

    /** Throws [ModelException] for whatever is no image classifier with metadata. [file] is not changed. */
    fun read(file: ByteBuffer): ModelInfo = try {
        parse(file.duplicate().order(ByteOrder.LITTLE_ENDIAN))
    } catch (error: ModelException) {
        throw error
    } catch (error: IOException) {
        throw corrupt(error)
    } catch (error: RuntimeException) {
        // A corrupt flatbuffer fails where its offsets happen to lead: outside of the buffer, to an enumeration's
        // value that doesn't exist, to an array of negative size. The library checks none of it beforehand.
        throw corrupt(error)
    } catch (error: OutOfMemoryError) {
        // A corrupt length asks for an array of gigabytes. Nothing was allocated, and nothing is lost.
        throw corrupt(error)
    }

    private fun parse(file: ByteBuffer): ModelInfo {
        if (!isModel(file)) throw ModelException(ModelProblem.NotAModel)
        val model = Model.getRootAsModel(file.duplicate().order(ByteOrder.LITTLE_ENDIAN))
        if (model.subgraphsLength() == 0) throw ModelException(ModelProblem.NotAModel)
        val graph = model.subgraphs(0)
        if (graph.inputsLength() != 1 || graph.outputsLength() != 1) {
            throw ModelException(ModelProblem.Tensors(graph.inputsLength(), graph.outputsLength()))
        }
        val metadata = MetadataExtractor(file)
        val input = TensorSpec(
            metadata.getInputTensorShape(0).toList(),
            type(metadata.getInputTensorType(0)),
            quantization(metadata.getInputTensorType(0), metadata.getInputTensorQuantizationParams(0)),
        )
        val output = TensorSpec(
            metadata.getOutputTensorShape(0).toList(),
            type(metadata.getOutputTensorType(0)),
            quantization(metadata.getOutputTensorType(0), metadata.getOutputTensorQuantizationParams(0)),
        )
        if (!metadata.hasMetadata()) throw ModelException(ModelProblem.NoMetadata)
        if (input.shape.size != 4 || input.shape[3] != 3) throw ModelException(ModelProblem.InputShape(input.shape))
        val about = metadata.modelMetadata
        val facts = facts(metadata)
        return ModelInfo(
            name = about.name().orEmpty(),
            description = about.description().orEmpty(),
            version = about.version().orEmpty(),
            author = about.author().orEmpty(),
            licence = about.license().orEmpty(),
            labels = labels(metadata, output.shape.lastOrNull() ?: 1),
            image = facts?.image ?: input.shape.let { (_, height, width, channels) -> ImageSpec(height, width, channels) },
            normalization = normalization(metadata.getInputTensorMetadata(0)),
            input = input,
            output = output,
            nodes = graph.operatorsLength(),
            confidence = facts?.confidence,
        )
    }

    private fun isModel(file: ByteBuffer): Boolean {
        if (file.remaining() < 8) return false
        return FILE_IDENTIFIER.indices.all { file.get(file.position() + 4 + it).toInt() == FILE_IDENTIFIER[it].code }
    }

    private fun type(type: Byte): TensorType = when (type) {
        org.tensorflow.lite.schema.TensorType.FLOAT32 -> TensorType.FLOAT32
        org.tensorflow.lite.schema.TensorType.UINT8 -> TensorType.UINT8
        org.tensorflow.lite.schema.TensorType.INT8 -> TensorType.INT8
        else -> throw ModelException(
            ModelProblem.Type(org.tensorflow.lite.schema.TensorType.names.getOrNull(type.toInt())?.lowercase() ?: "$type"),
        )
    }

    private fun quantization(type: Byte, parameters: MetadataExtractor.QuantizationParams): Quantization? {
        if (type == org.tensorflow.lite.schema.TensorType.FLOAT32) return null
        // An integer tensor without a scale holds its values as they are.
        if (parameters.scale == 0f) return Quantization(1f, 0)
        require(parameters.scale > 0f && parameters.scale.isFinite()) { "a scale of ${parameters.scale}" }
        return Quantization(parameters.scale, parameters.zeroPoint)
    }

    private fun labels(metadata: MetadataExtractor, classes: Int): List<String> {
        val output = metadata.getOutputTensorMetadata(0) ?: throw ModelException(ModelProblem.NoLabels)
        val name = (0 until output.associatedFilesLength())
            .map { output.associatedFiles(it) }
            .firstOrNull { it.type() == AssociatedFileType.TENSOR_AXIS_LABELS }
            ?.name() ?: throw ModelException(ModelProblem.NoLabels)
        val lines = text(metadata, name).replace("\r\n", "\n").replace("\r", "\n").removeSuffix("\n").split("\n")
        // Empty lines at the end for which the model has no output.
        var count = lines.size
        while (count > classes.coerceAtLeast(1) && lines[count - 1].isEmpty()) count--
        return lines.take(count)
    }

    private fun facts(metadata: MetadataExtractor): Facts? =
        if (FACTS in metadata.associatedFileNames) Documents.decodeFromString(Facts.serializer(), text(metadata, FACTS)) else null

    private fun normalization(input: TensorMetadata?): Normalization? {
        for (index in 0 until (input?.processUnitsLength() ?: 0)) {
            val unit = input!!.processUnits(index)
            if (unit.optionsType() != ProcessUnitOptions.NormalizationOptions) continue
            val options = unit.options(NormalizationOptions()) as NormalizationOptions
            val mean = List(options.meanLength()) { options.mean(it) }
            val deviation = List(options.stdLength()) { options.std(it) }
            require(mean.size in setOf(1, 3) && deviation.size in setOf(1, 3)) { "${mean.size} means for 3 channels" }
            require(mean.all { it.isFinite() } && deviation.all { it.isFinite() && it != 0f }) { "a deviation of 0" }
            return Normalization(mean, deviation)
        }
        return null
    }

    private fun text(metadata: MetadataExtractor, name: String): String {
        val bytes = metadata.getAssociatedFile(name).use(::readLimited)
        // A byte-order mark says that the text is UTF-16; before UTF-8 it says nothing.
        val mark = if (bytes.size < 2) 0 else (bytes[0].toInt() and 255 shl 8) or (bytes[1].toInt() and 255)
        val charset = if (mark == 0xFEFF || mark == 0xFFFE) Charsets.UTF_16 else Charsets.UTF_8
        val decoder = charset.newDecoder().onMalformedInput(CodingErrorAction.REPORT)
        return decoder.decode(ByteBuffer.wrap(bytes)).toString().removePrefix("\uFEFF")
    }

    private fun readLimited(stream: InputStream): ByteArray {
        val out = ByteArrayOutputStream()
        val block = ByteArray(8192)
        while (true) {
            val count = stream.read(block)
            if (count < 0) return out.toByteArray()
            out.write(block, 0, count)
            if (out.size() > LARGEST_ASSOCIATED_FILE) {
                throw IOException("an attached file of more than $LARGEST_ASSOCIATED_FILE bytes")
            }
        }
    }

    private fun corrupt(error: Throwable): ModelException {
        val outside = error is BufferUnderflowException || error is IndexOutOfBoundsException
        val detail = if (outside) "it is cut off or corrupt" else error.message ?: error.javaClass.simpleName
        return ModelException(ModelProblem.Metadata(detail), error)
    }
}
