package org.vitconv.core

import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class DocumentsTest {
    private val device = Device("Phone", "Maker", "14", 34, "arm64-v8a", "Chip", 8)

    private fun fields(json: String): JsonObject = Documents.parseToJsonElement(json).jsonObject

    @Test
    fun `a benchmark has the fields of vitconv benchmark`() {
        val timing = FileTiming("a-int8.tflite", "int8", 1, 10, 1.0, 2.0, 3.0, 1.0, 2.0, 1.5, 2.5, 4.0, 5.0, null, null, 9, null, null, "gpu", null)
        val document = BenchmarkDocument("m", "r", "t", "gpu", device, Thermal("none", null), listOf(timing))
        val json = fields(Documents.encodeToString(BenchmarkDocument.serializer(), document))
        assertTrue(json.keys.containsAll(setOf("machine", "runtime", "device", "tool", "delegate", "files")))
        val wanted = setOf(
            "path", "scheme", "threads", "runs", "init_ms", "first_ms", "mean_ms", "min_ms", "p50_ms", "p50_low_ms",
            "p50_high_ms", "p90_ms", "p95_ms", "peak_memory_mb", "nodes", "delegated_nodes", "partitions", "delegate",
        )
        val file = json.getValue("files").jsonArray.single().jsonObject
        assertEquals(wanted + "model_memory_mb" + "note", file.keys)
        assertEquals("null", file.getValue("delegated_nodes").toString())
        assertTrue(json.getValue("device").jsonObject.keys.containsAll(setOf("model", "android", "abi")))
    }

    @Test
    fun `a self-test has the fields that the command line reads`() {
        val check = FileCheck("a.tflite", "int8", 1.0, 0.1, 8, true, emptyList())
        val json = fields(Documents.encodeToString(SelfTestDocument.serializer(), SelfTestDocument(true, device, listOf(check))))
        assertEquals(setOf("task", "passed", "device", "files"), json.keys)
        assertEquals("\"selftest\"", json.getValue("task").toString())
        assertEquals(
            setOf("path", "scheme", "agreement", "max_abs_error", "images", "passed", "reasons"),
            json.getValue("files").jsonArray.single().jsonObject.keys,
        )
    }

    @Test
    fun `a manifest with more fields than the app knows is read`() {
        val manifest = Documents.decodeFromString(
            ExportManifest.serializer(),
            """{"model": "m", "new": 1, "dataset": {"name": "d", "version": null}, "golden": "golden/golden.json",
                "files": [{"scheme": "int8", "path": "m-d-int8.tflite", "bytes": 5, "sha256": "",
                           "limits": {"min_agreement": 0.8, "max_error": 1.0}}]}""",
        )
        assertEquals(Limits(0.8, 1.0), manifest.files.single().limits)
        assertEquals(listOf(null, null), listOf(manifest.gpuFile, manifest.files.single().gpu))
    }

    @Test
    fun `a manifest says which file is for the GPU and which is refused there`() {
        val manifest = Documents.decodeFromString(
            ExportManifest.serializer(),
            """{"model": "m", "dataset": {"name": "d"}, "golden": "golden/golden.json", "gpu_file": "m-d-float16.tflite",
                "files": [{"scheme": "int8", "path": "m-d-int8.tflite", "bytes": 5,
                           "gpu": {"operations": 9, "taken": 8, "fit": false, "reasons": ["the delegate refuses EXP"]}}]}""",
        )
        assertEquals("m-d-float16.tflite", manifest.gpuFile)
        assertEquals(GpuCheck(false, listOf("the delegate refuses EXP")), manifest.files.single().gpu)
    }

    @Test
    fun `a name that leads out of its folder is refused`() {
        for (name in listOf("", ".", "..", "../a", "a/b", "a\\b")) {
            assertThrows(IllegalArgumentException::class.java) { ExportedFile("int8", name, 1).let { ExportManifest("m", NamedDataset("d"), listOf(it), "g") } }
            assertThrows(IllegalArgumentException::class.java) { GoldenImage(name, 0, emptyList()) }
        }
    }

    @Test
    fun `the scheme is the end of the name`() {
        assertEquals("int8-hybrid", schemeOf("mobilevit_xxs-tf_flowers-int8-hybrid.tflite"))
        assertEquals("int8", schemeOf("mobilevit_xxs-tf_flowers-int8.tflite"))
        assertNull(schemeOf("int8.tflite"))
    }

    @Test
    fun `the best classes come first, equal ones in their order, and NaN last`() {
        val labels = listOf("rose", "ash", "fern", "elm", "oak", "birch")
        val best = topK(floatArrayOf(0.1f, Float.NaN, 0.4f, 0.4f, 0f, 0.05f), labels, 5)
        assertEquals(listOf("fern", "elm", "rose", "birch", "oak"), best.map { it.label })
        assertEquals(listOf("b"), topK(floatArrayOf(Float.NaN, Float.NaN), listOf("b", "c"), 1).map { it.label })
        assertEquals(2, topK(floatArrayOf(1f, 2f), labels, 5).size)
    }

    @Test
    fun `a file as close to Keras as its scheme promises passes`() {
        val test = SelfTest("a", "int8", Limits(0.5, 0.25))
        test.add(floatArrayOf(0.75f, 0.25f), listOf(0.5, 0.5))
        test.add(floatArrayOf(0.25f, 0.75f), listOf(0.5, 0.5))
        val result = test.result()
        assertEquals(listOf(0.5, 0.25, 2, true), listOf(result.agreement, result.maxAbsError, result.images, result.passed))
    }

    @Test
    fun `a file further from Keras fails, and says why`() {
        val test = SelfTest("a", "float16", Limits(0.99, 0.2))
        test.add(floatArrayOf(0.75f, 0.25f), listOf(0.5, 0.5))
        test.add(floatArrayOf(0f, 1f), listOf(0.75, 0.25))
        val result = test.result()
        assertFalse(result.passed)
        assertEquals(
            listOf("agrees with Keras on 50.0%, less than 99.0%", "is off by 0.75 in a probability, more than 0.20"),
            result.reasons,
        )
    }

    @Test
    fun `an answer that is no number counts as wrong, and fails`() {
        val test = SelfTest("a", "int8", Limits(0.0, 1.0))
        test.add(floatArrayOf(Float.NaN, 1f), listOf(0.0, 1.0))
        assertEquals(listOf("gives NaN or infinity for 1 of 1 images"), test.result().reasons)
        assertEquals(1.0, test.result().maxAbsError, 0.0)
    }

    @Test
    fun `a test without images proves nothing`() = assertFalse(SelfTest("a", "int8", Limits(0.0, 1.0)).result().passed)
}
