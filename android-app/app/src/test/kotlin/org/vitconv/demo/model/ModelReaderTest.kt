package org.vitconv.demo.model

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.contentOrNull
import kotlinx.serialization.json.float
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.vitconv.classifier.ModelReader
import org.vitconv.core.Documents
import org.vitconv.core.ImageSpec
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem
import org.vitconv.core.Normalization
import org.vitconv.core.Quantization
import org.vitconv.core.TensorType
import org.vitconv.demo.picture.damage
import java.io.File
import java.util.Base64
import kotlin.random.Random

class ModelReaderTest {
    private fun read(bytes: ByteArray) = ModelReader.read(StagedModels.direct(bytes))

    private fun problem(bytes: ByteArray) = assertThrows(ModelException::class.java) { read(bytes) }.problem

    @Test
    fun `everything that the app needs is in the file`() {
        for (file in StagedModels.files()) {
            val info = read(file.readBytes())
            val labels = File(file.parentFile, "labels.txt").readLines()
            assertEquals(file.name, labels, info.labels)
            assertEquals(Normalization.NONE, info.normalization)
            val integer = "int8" in file.name
            assertEquals(if (integer) TensorType.UINT8 else TensorType.FLOAT32, info.input.type)
            assertEquals(if (integer) Quantization(1f, 0) else null, info.input.quantization)
            assertTrue("${info.nodes} nodes", info.nodes > 10)
        }
    }

    @Test
    fun `how sure a file is stands in it, where that was asked for`() {
        val confidence = read(javaClass.getResource("/sure.tflite")!!.readBytes()).confidence!!
        assertEquals(1.7, confidence.temperature, 0.0)
        assertEquals(listOf(0.05, 0.1), confidence.errorRates)
        assertEquals(0.9, confidence.least(0.05)!!, 0.0)
        assertNull(read(StagedModels.files().first().readBytes()).confidence)
    }

    /** Files of other tools and broken ones, by tests/android_metadata.py, with what the converter reads in them. */
    @Test
    fun `metadata of other tools say what the converter reads in them, and what is wrong is named`() {
        val cases = Json.parseToJsonElement(javaClass.getResource("/metadata.json")!!.readText()).jsonArray.map { it.jsonObject }
        assertTrue("${cases.size} cases", cases.size > 40)
        for (case in cases) {
            val name = case.getValue("name").jsonPrimitive.content
            val bytes = Base64.getDecoder().decode(case.getValue("file").jsonPrimitive.content)
            val problem = case.getValue("problem").jsonPrimitive.contentOrNull
            if (problem != null) {
                assertEquals(name, if (problem == "Scale") "Metadata" else problem, problem(bytes).javaClass.simpleName)
                continue
            }
            val info = read(bytes)
            val texts = listOf(info.name, info.description, info.version, info.author, info.licence)
            assertEquals(name, case.getValue("texts").jsonArray.map { it.jsonPrimitive.content }, texts)
            assertEquals(name, case.getValue("labels").jsonArray.map { it.jsonPrimitive.content }, info.labels)
            assertEquals(name, Documents.decodeFromJsonElement(ImageSpec.serializer(), case.getValue("image")), info.image)
            val mean = numbers(case.getValue("mean"))
            assertEquals(name, mean?.let { Normalization(it, numbers(case.getValue("deviation"))!!) }, info.normalization)
            val scale = numbers(case.getValue("quantization"))
            val integers = scale?.let { (scale, zeroPoint) -> Quantization(scale, zeroPoint.toInt()) } ?: Quantization(1f, 0)
            assertEquals(name, if (info.input.type == TensorType.FLOAT32) null else integers, info.input.quantization)
        }
    }

    private fun numbers(element: JsonElement): List<Float>? =
        if (element is JsonNull) null else element.jsonArray.map { it.jsonPrimitive.float }

    @Test
    fun `what is no model is said to be none`() {
        for (bytes in listOf(ByteArray(0), ByteArray(4), "TFL3".toByteArray(), "not a model at all".toByteArray())) {
            assertEquals(ModelProblem.NotAModel, problem(bytes))
        }
    }

    @Test
    fun `a model whose archive was cut off has no labels to give`() {
        val bytes = StagedModels.files().first().readBytes()
        assertTrue(problem(bytes.copyOf(bytes.size - 100)) !is ModelProblem.NotAModel)
    }

    @Test
    fun `a thousand damaged models are refused or read, and nothing breaks`() {
        val random = Random(2)
        // The smallest: the damage should fall on what is read, not on weights.
        val original = StagedModels.files().minBy { it.length() }.readBytes()
        var refused = 0
        repeat(1000) {
            val damaged = when (it % 2) {
                0 -> damage(original, random)
                // Near the start are the root and its tables, near the end the metadata and the labels.
                else -> original.copyOf().also { bytes ->
                    repeat(1 + random.nextInt(8)) { _ ->
                        val at = if (random.nextBoolean()) random.nextInt(64) else bytes.size - 1 - random.nextInt(6000)
                        bytes[at] = random.nextInt().toByte()
                    }
                }
            }
            try {
                assertTrue(read(damaged).labels.isNotEmpty())
            } catch (error: ModelException) {
                assertTrue(error.problem.message.isNotBlank())
                refused++
            }
        }
        assertTrue("$refused of 1000 were refused", refused in 300..999)
    }
}
