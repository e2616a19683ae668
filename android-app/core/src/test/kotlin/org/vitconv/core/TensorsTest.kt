package org.vitconv.core

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import java.nio.ByteBuffer
import java.nio.ByteOrder

class TensorsTest {
    private val pixels = byteArrayOf(0, 127, 255.toByte())

    private fun written(type: TensorType, quantization: Quantization?, normalization: Normalization?): ByteBuffer {
        val spec = TensorSpec(listOf(1, 1, 1, 3), type, quantization)
        val buffer = ByteBuffer.allocateDirect(spec.bytes).order(ByteOrder.nativeOrder())
        InputWriter(spec, normalization).write(pixels, buffer)
        return buffer
    }

    @Test
    fun `raw pixels go into a float model as they are`() {
        val buffer = written(TensorType.FLOAT32, null, Normalization.NONE)
        assertEquals(listOf(0f, 127f, 255f), List(3) { buffer.getFloat() })
    }

    @Test
    fun `mean and deviation of each channel are applied`() {
        val buffer = written(TensorType.FLOAT32, null, Normalization(listOf(0f, 127f, 155f), listOf(1f, 2f, 50f)))
        assertEquals(listOf(0f, 0f, 2f), List(3) { buffer.getFloat() })
    }

    @Test
    fun `raw pixels go into a uint8 model as they are`() {
        val buffer = written(TensorType.UINT8, Quantization(1f, 0), Normalization.NONE)
        assertArrayEquals(pixels, ByteArray(3).also(buffer::get))
    }

    @Test
    fun `an int8 model gets scale and zero point, and no value wraps around`() {
        val buffer = written(TensorType.INT8, Quantization(1 / 128f, -1), Normalization(listOf(127.5f), listOf(127.5f)))
        assertArrayEquals(byteArrayOf(-128, -2, 127), ByteArray(3).also(buffer::get))
    }

    @Test
    fun `pixels go into a uint8 model as they are, whatever its scale and its normalization say`() {
        for (quantization in listOf(Quantization(1f, 0), Quantization(1 / 64f, 100), Quantization(0.9f, 3))) {
            for (normalization in listOf(null, Normalization.NONE, Normalization(listOf(127.5f), listOf(127.5f)))) {
                val buffer = written(TensorType.UINT8, quantization, normalization)
                assertArrayEquals(pixels, ByteArray(3).also(buffer::get))
            }
        }
    }

    @Test
    fun `an int8 model without normalization gets pixels less 128`() {
        val buffer = written(TensorType.INT8, Quantization(1 / 255f, -128), null)
        assertArrayEquals(byteArrayOf(-128, -1, 127), ByteArray(3).also(buffer::get))
    }

    @Test
    fun `an int8 model whose scale belongs to another normalization is refused`() {
        val contradictory = listOf(
            Quantization(1 / 255f, -128) to Normalization.NONE,
            Quantization(1f, -128) to Normalization(listOf(127.5f), listOf(127.5f)),
        )
        for ((quantization, normalization) in contradictory) {
            val error = assertThrows(ModelException::class.java) { written(TensorType.INT8, quantization, normalization) }
            assertTrue(error.problem is ModelProblem.WrongNormalization)
        }
    }

    @Test
    fun `output of every type becomes probabilities`() {
        val probabilities = FloatArray(2)
        val bytes = ByteBuffer.wrap(byteArrayOf(255.toByte(), 1))
        OutputReader(TensorSpec(listOf(1, 2), TensorType.UINT8, Quantization(1 / 256f, 0))).read(bytes, probabilities)
        assertArrayEquals(floatArrayOf(255 / 256f, 1 / 256f), probabilities, 0f)
        OutputReader(TensorSpec(listOf(1, 2), TensorType.INT8, Quantization(1 / 256f, -128))).read(bytes, probabilities)
        assertArrayEquals(floatArrayOf(127 / 256f, 129 / 256f), probabilities, 0f)
        val floats = ByteBuffer.allocate(8).order(ByteOrder.nativeOrder()).putFloat(0.25f).putFloat(0.75f)
        OutputReader(TensorSpec(listOf(1, 2), TensorType.FLOAT32, null)).read(floats, probabilities)
        assertArrayEquals(floatArrayOf(0.25f, 0.75f), probabilities, 0f)
    }

    @Test
    fun `a model whose parts do not fit together is refused with the reason`() {
        fun info(
            labels: Int, input: List<Int>, output: List<Int>, normalization: Normalization? = Normalization.NONE,
        ) = ModelInfo(
            "", "", "", "", "", List(labels) { "$it" }, ImageSpec(8, 8), normalization,
            TensorSpec(input, TensorType.FLOAT32, null), TensorSpec(output, TensorType.FLOAT32, null), 1,
        )
        val square = listOf(1, 8, 8, 3)
        assertEquals(5, info(5, square, listOf(1, 5)).labels.size)
        assertEquals(5, info(5, square, listOf(1, 1, 1, 5)).labels.size)
        assertProblem(ModelProblem.Labels(4, 5)) { info(4, square, listOf(1, 5)) }
        assertProblem(ModelProblem.InputShape(listOf(2, 8, 8, 3))) { info(5, listOf(2, 8, 8, 3), listOf(1, 5)) }
        assertProblem(ModelProblem.OutputShape(listOf(1, 7, 5))) { info(5, square, listOf(1, 7, 5)) }
        assertProblem(ModelProblem.OutputShape(emptyList())) { info(5, square, emptyList()) }
        assertThrows(ModelException::class.java) { info(5, square, listOf(1, 5), null) }
    }

    private fun assertProblem(expected: ModelProblem, block: () -> Unit) {
        assertEquals(expected, assertThrows(ModelException::class.java) { block() }.problem)
    }
}
