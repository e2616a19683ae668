package org.vitconv.core

import kotlinx.serialization.Serializable

/** All that a .tflite file says about itself, checked: an image classifier with a label for each of its outputs. */
data class ModelInfo(
    val name: String,
    val description: String,
    val version: String,
    val author: String,
    val licence: String,
    val labels: List<String>,
    val image: ImageSpec,
    /** Null where the file does not say. */
    val normalization: Normalization?,
    val input: TensorSpec,
    val output: TensorSpec,
    /** Operations in the file's graph. */
    val nodes: Int,
    /** Null where the export was not asked for it, as with every other converter's files. */
    val confidence: Confidence? = null,
) {
    init {
        val expected = listOf(1, image.height, image.width, image.channels)
        if (input.shape != expected) throw ModelException(ModelProblem.InputShape(input.shape))
        val classes = output.shape.lastOrNull() ?: 0
        if (classes < 1 || output.elements != classes) throw ModelException(ModelProblem.OutputShape(output.shape))
        if (input.type == TensorType.FLOAT32 && normalization == null) {
            throw ModelException(ModelProblem.NoNormalization)
        }
        InputWriter(input, normalization) // refuses what contradicts itself
        if (labels.size != classes) throw ModelException(ModelProblem.Labels(labels.size, classes))
    }
}

/** Why a file is no model that the app can use. [message] is in English; the screens have their own words. */
@Serializable
sealed class ModelProblem(val message: String) {
    @Serializable
    data object NotAModel : ModelProblem("it is not a TensorFlow Lite model")

    @Serializable
    data class TooLarge(val bytes: Long, val limit: Long) : ModelProblem("it has $bytes bytes, more than $limit")

    @Serializable
    data class Tensors(val inputs: Int, val outputs: Int) :
        ModelProblem("an image classifier has one input and one output, not $inputs and $outputs")

    @Serializable
    data class InputShape(val shape: List<Int>) :
        ModelProblem("its input has the shape $shape, which is not one RGB picture [1, height, width, 3]")

    @Serializable
    data class OutputShape(val shape: List<Int>) :
        ModelProblem("its output has the shape $shape, which is not one value a class")

    @Serializable
    data class Type(val what: String) : ModelProblem("it has a tensor of the type $what, not float32, uint8 or int8")

    @Serializable
    data object NoMetadata : ModelProblem("it has no metadata, so neither its labels nor its pixels' range are known")

    @Serializable
    data object NoLabels : ModelProblem("its metadata have no labels for its output")

    @Serializable
    data class Labels(val labels: Int, val classes: Int) : ModelProblem("it has $labels labels for $classes classes")

    @Serializable
    data object NoNormalization :
        ModelProblem("its metadata cannot be read (it takes float pixels and has no NormalizationOptions)")

    @Serializable
    data object WrongNormalization :
        ModelProblem("its metadata cannot be read (its normalization does not fit the scale of its int8 input)")

    @Serializable
    data class NoAccelerator(val accelerator: Accelerator) :
        ModelProblem("the runtime refuses it (this device has no ${accelerator.id} that it can use)")

    @Serializable
    data class Metadata(val detail: String) : ModelProblem("its metadata cannot be read ($detail)")

    @Serializable
    data class Refused(val detail: String) : ModelProblem("the runtime refuses it ($detail)")

    @Serializable
    data class Unreadable(val detail: String) : ModelProblem("it cannot be read ($detail)")
}

/** A file is no model that the app can use. */
class ModelException(val problem: ModelProblem, cause: Throwable? = null) : Exception(problem.message, cause)
