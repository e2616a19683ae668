package org.vitconv.core.screens

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test
import org.vitconv.core.Accelerator
import org.vitconv.core.GpuCheck
import org.vitconv.core.RunOptions

class PlanTest {
    private val fit = GpuCheck(true)
    private val refused = GpuCheck(false, listOf("the delegate refuses EXP", "the delegate refuses SUM with rank 5"))
    private val gpuFile = bundled("a-float16.tflite").copy(gpu = fit, isGpuFile = true)
    private val int8 = bundled("a-int8.tflite").copy(gpu = refused)
    private val ofAnother = ModelEntry("b-float16.tflite", null, 5, ModelEntry.Source.Bundled("another"), "", fit, isGpuFile = true)
    private val opened = ModelEntry("a-int8.tflite", null, 5, ModelEntry.Source.Opened)
    private val onGpu = RunOptions(2, Accelerator.GPU)
    private val onCpu = RunOptions(2, Accelerator.XNNPACK)

    @Test
    fun `on the GPU the model's file for the GPU runs, and no other model's`() {
        assertEquals(Plan(gpuFile, onGpu, Plan.Change.GPU_FILE), plan(int8, onGpu, listOf(ofAnother, int8, gpuFile)))
        assertEquals(Plan(gpuFile, onGpu), plan(gpuFile, onGpu, listOf(ofAnother, int8, gpuFile)))
    }

    @Test
    fun `a file that was refused on the GPU runs on the processor where there is none for the GPU`() {
        val planned = plan(int8, onGpu, listOf(ofAnother, int8))
        assertEquals(Plan(int8, onCpu, Plan.Change.REFUSED_ON_GPU), planned)
        assertEquals(
            "a-int8.tflite ran on the CPU, because on the GPU the delegate refuses EXP; the delegate refuses SUM with rank 5",
            planned.note(int8),
        )
    }

    @Test
    fun `a file for the GPU that was refused there does not run there either`() {
        val contradictory = gpuFile.copy(gpu = refused)
        for (asked in listOf(contradictory, int8)) {
            assertEquals(Plan(asked, onCpu, Plan.Change.REFUSED_ON_GPU), plan(asked, onGpu, listOf(contradictory, int8)))
        }
    }

    @Test
    fun `of what is not known nothing is changed`() {
        for (model in listOf(opened, bundled("old.tflite"))) {
            assertEquals(Plan(model, onGpu), plan(model, onGpu, listOf(ofAnother, opened, bundled("old.tflite"))))
        }
    }

    @Test
    fun `on anything but the GPU the file runs that was chosen`() {
        for (accelerator in Accelerator.entries - Accelerator.GPU) {
            val options = RunOptions(1, accelerator)
            assertEquals(Plan(int8, options), plan(int8, options, listOf(int8, gpuFile)))
            assertNull(plan(int8, options, listOf(int8, gpuFile)).note(int8))
        }
    }

    @Test
    fun `a file that is named itself is never replaced by another`() {
        assertEquals(Plan(int8, onCpu, Plan.Change.REFUSED_ON_GPU), planOfFile(int8, onGpu))
        assertEquals(Plan(gpuFile, onGpu), planOfFile(gpuFile, onGpu))
    }
}
