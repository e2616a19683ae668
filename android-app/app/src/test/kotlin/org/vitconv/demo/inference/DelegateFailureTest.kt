package org.vitconv.demo.inference

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test
import org.vitconv.classifier.Delegates
import org.vitconv.classifier.RuntimeLog
import org.vitconv.classifier.TfLiteClassifier
import org.vitconv.core.Accelerator
import org.vitconv.core.Delegation
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem
import org.vitconv.core.RunOptions
import org.vitconv.demo.model.StagedModels

/** Delegates of devices that promise more than they have. */
class DelegateFailureTest {
    private object NoLog : RuntimeLog {
        override fun mark() = ""

        override fun delegationSince(marker: String, nodes: Int) = Delegation(nodes, null, null)
    }

    @Test
    fun `a delegate that cannot be made is a refusal with its reason`() {
        val file = StagedModels.direct(StagedModels.files().minBy { it.length() }.readBytes())
        val failures = listOf(
            UnsatisfiedLinkError("dlopen failed: library libOpenCL.so not found"),
            NoClassDefFoundError("org/tensorflow/lite/gpu/GpuDelegateFactory"),
            UnsupportedOperationException("no GPU here"),
            IllegalArgumentException("no such option"),
        )
        for (failure in failures) {
            val error = assertThrows(ModelException::class.java) {
                TfLiteClassifier.load(file, RunOptions(1, Accelerator.GPU), NoLog) { throw failure }
            }
            assertEquals(ModelProblem.Refused(failure.message!!), error.problem)
        }
    }
}
