package org.vitconv.core

import kotlinx.serialization.DeserializationStrategy
import kotlinx.serialization.EncodeDefault
import kotlinx.serialization.ExperimentalSerializationApi
import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.Transient
import kotlinx.serialization.json.Json

/** The device that figures come from. */
@Serializable
data class Device(
    val model: String,
    val manufacturer: String,
    val android: String,
    val sdk: Int,
    val abi: String,
    val processor: String,
    val cores: Int,
)

/** Heat: Android's thermal status before and after, `none` to `shutdown`; null before Android 10. */
@Serializable
data class Thermal(val before: String?, val after: String?)

/** One file's timings in the fields of `vitconv benchmark --json`; memory in MiB. */
@Serializable
data class FileTiming(
    val path: String,
    val scheme: String?,
    val threads: Int,
    val runs: Int,
    @SerialName("init_ms") val initMs: Double,
    @SerialName("first_ms") val firstMs: Double,
    @SerialName("mean_ms") val meanMs: Double,
    @SerialName("min_ms") val minMs: Double,
    @SerialName("p50_ms") val p50Ms: Double,
    @SerialName("p50_low_ms") val p50LowMs: Double,
    @SerialName("p50_high_ms") val p50HighMs: Double,
    @SerialName("p90_ms") val p90Ms: Double,
    @SerialName("p95_ms") val p95Ms: Double,
    /** The most that the app's process ever held; null where several models were timed. */
    @SerialName("peak_memory_mb") val peakMemoryMb: Double?,
    /** What loading the model and its first run added to the app's native memory. */
    @SerialName("model_memory_mb") val modelMemoryMb: Double?,
    val nodes: Int,
    @SerialName("delegated_nodes") val delegatedNodes: Int?,
    val partitions: Int?,
    /** What ran it: not what was asked for where [note] says why. */
    val delegate: String,
    val note: String?,
)

/** The document of `vitconv benchmark --json`, with the device. */
@Serializable
data class BenchmarkDocument(
    val machine: String,
    val runtime: String,
    val tool: String,
    val delegate: String,
    val device: Device,
    val thermal: Thermal,
    val files: List<FileTiming>,
)

/** One file against Keras on the golden images. */
@Serializable
data class FileCheck(
    val path: String,
    val scheme: String,
    /** Fraction of images on which file and Keras name the same class first. */
    val agreement: Double,
    /** Largest difference of any probability. */
    @SerialName("max_abs_error") val maxAbsError: Double,
    val images: Int,
    val passed: Boolean,
    val reasons: List<String>,
    /** The [reasons], for those who have words of their own. */
    @Transient val problems: List<CheckProblem> = emptyList(),
)

/** The self-test of all bundled files. */
@OptIn(ExperimentalSerializationApi::class)
@Serializable
data class SelfTestDocument(
    val passed: Boolean,
    val device: Device,
    val files: List<FileCheck>,
    @EncodeDefault val task: String = "selftest",
)

/** How the app reads and writes JSON: files of a newer converter may have fields that it doesn't know. */
@OptIn(ExperimentalSerializationApi::class)
val Documents = Json {
    ignoreUnknownKeys = true
    prettyPrint = true
    prettyPrintIndent = "  "
    encodeDefaults = true
}

/** What [text] says; null where it is damaged, or of a version that wrote otherwise. */
fun <T> readOrNull(what: DeserializationStrategy<T>, text: String): T? = try {
    Documents.decodeFromString(what, text)
} catch (_: IllegalArgumentException) {
    null // SerializationException is one, too
}
