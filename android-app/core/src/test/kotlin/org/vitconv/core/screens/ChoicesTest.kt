package org.vitconv.core.screens

import org.junit.Assert.assertEquals
import org.junit.Test
import org.vitconv.core.Accelerator
import org.vitconv.core.RunOptions

class ChoicesTest {
    private val models = listOf(bundled("a.tflite", "int8"), bundled("b.tflite", "float32"), ModelEntry("b.tflite", null, 7, ModelEntry.Source.Opened))

    @Test
    fun `what was chosen is read again`() {
        val chosen = Choices.of(Models(models, models[1], options = RunOptions(4, Accelerator.GPU), errorRate = 0.05, runs = 200))
        assertEquals(chosen, Choices.read(chosen.toString()))
        assertEquals(models[1], chosen.modelAmong(models))
        assertEquals(RunOptions(4, Accelerator.GPU), chosen.options(Accelerator.entries))
        assertEquals(200, chosen.runs)
        assertEquals(0.05, chosen.errorRate)
    }

    @Test
    fun `of two files of one name the one in the same place is meant`() {
        assertEquals(models[2], Choices.of(Models(models, models[2])).modelAmong(models))
        assertEquals(null, Choices.of(Models(models, models[2])).modelAmong(models.take(2)))
    }

    @Test
    fun `what is damaged or no longer possible is as if nothing was chosen`() {
        for (text in listOf(null, "", "{", "[]", "{\"threads\": \"many\"}")) assertEquals(Choices(), Choices.read(text))
        assertEquals(RunOptions(), Choices(threads = 4, accelerator = "gpu").options(listOf(Accelerator.CPU, Accelerator.XNNPACK)))
        assertEquals(RunOptions(), Choices(threads = 4, accelerator = "quantum").options(Accelerator.entries))
        assertEquals(64, Choices(threads = 900).options(Accelerator.entries).threads)
        assertEquals(1, Choices(threads = -3).options(Accelerator.entries).threads)
        assertEquals(null, Choices().modelAmong(models))
    }
}
