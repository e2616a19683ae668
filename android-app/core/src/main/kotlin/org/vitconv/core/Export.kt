package org.vitconv.core

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable

/**
 * manifest.json of an export folder: what the app needs of it. [gpuFile] is the file to run on the GPU, null where there
 * is none or the converter did not look.
 */
@Serializable
data class ExportManifest(
    val model: String,
    val dataset: NamedDataset,
    val files: List<ExportedFile>,
    val golden: String,
    @SerialName("gpu_file") val gpuFile: String? = null,
) {
    init {
        files.forEach { requirePlainName(it.path) }
    }
}

@Serializable
data class NamedDataset(val name: String)

/** A .tflite file of the folder; [sha256], [limits] and [gpu] are absent in folders of an older converter. */
@Serializable
data class ExportedFile(
    val scheme: String,
    val path: String,
    val bytes: Long,
    val sha256: String = "",
    val limits: Limits? = null,
    val gpu: GpuCheck? = null,
)

/** What the converter found out of a file on phones' GPUs: [fit] if all of it runs there, and right. */
@Serializable
data class GpuCheck(val fit: Boolean, val reasons: List<String> = emptyList())

/** How far a file may be from Keras: the part of the scheme's limits that a few images can check. */
@Serializable
data class Limits(
    @SerialName("min_agreement") val minAgreement: Double,
    @SerialName("max_error") val maxError: Double,
)

/** golden/golden.json: held-out images with Keras's probabilities. */
@Serializable
data class GoldenSet(val split: String, val images: List<GoldenImage>)

@Serializable
data class GoldenImage(val file: String, val label: Int, val probabilities: List<Double>) {
    init {
        requirePlainName(file)
    }
}

/** A name that leads out of its folder is no name. */
private fun requirePlainName(name: String) {
    require(name.isNotEmpty() && '/' !in name && '\\' !in name && name != "." && name != "..") {
        "$name is not the name of a file in the folder"
    }
}
