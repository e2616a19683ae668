package org.vitconv.classifier

import android.os.Build
import org.tensorflow.lite.Delegate
import org.tensorflow.lite.gpu.CompatibilityList
import org.tensorflow.lite.gpu.GpuDelegate
import org.tensorflow.lite.nnapi.NnApiDelegate
import org.vitconv.core.Accelerator
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem

/** What beside the processor can run a model on this device. */
object Delegates {
    /** NNAPI came with Android 8.1. */
    private val hasNnapi get() = Build.VERSION.SDK_INT >= Build.VERSION_CODES.O_MR1

    /** TFLite's own list of GPUs that are known to work; false as well where its library has none for this machine. */
    private val hasGpu: Boolean by lazy {
        try {
            CompatibilityList().use { it.isDelegateSupportedOnThisDevice }
        } catch (_: LinkageError) {
            false
        } catch (_: RuntimeException) {
            false
        }
    }

    fun available(): List<Accelerator> = Accelerator.entries.filter {
        when (it) {
            Accelerator.CPU, Accelerator.XNNPACK -> true
            Accelerator.GPU -> hasGpu
            Accelerator.NNAPI -> hasNnapi
        }
    }

    /** Null where none is needed; throws [ModelException] where the device has none of that kind. */
    fun create(accelerator: Accelerator): Delegate? {
        if (accelerator !in available()) {
            throw ModelException(ModelProblem.NoAccelerator(accelerator))
        }
        return when (accelerator) {
            Accelerator.CPU, Accelerator.XNNPACK -> null
            Accelerator.GPU -> GpuDelegate()
            Accelerator.NNAPI -> NnApiDelegate()
        }
    }
}
