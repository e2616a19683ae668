package org.vitconv.demo

import android.annotation.TargetApi
import android.content.Context
import android.os.Build
import android.os.Debug
import android.os.PowerManager
import org.tensorflow.lite.TensorFlowLite
import org.vitconv.core.Device
import org.vitconv.core.screens.Machine
import java.io.File
import java.io.IOException

/** The device that the app runs on. */
class DeviceMachine(private val context: Context) : Machine {
    override val device = Device(
        model = Build.MODEL,
        manufacturer = Build.MANUFACTURER,
        android = Build.VERSION.RELEASE,
        sdk = Build.VERSION.SDK_INT,
        abi = Build.SUPPORTED_ABIS.first(),
        processor = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) chip() else Build.HARDWARE,
        cores = Runtime.getRuntime().availableProcessors(),
    )

    override val runtime: String by lazy { "TensorFlow Lite ${TensorFlowLite.runtimeVersion()}" }

    override val tool: String by lazy {
        "vitconv-demo ${context.packageManager.getPackageInfo(context.packageName, 0).versionName}"
    }

    override fun thermalStatus(): String? = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) thermalName() else null

    override fun nativeMemoryMb(): Double = Debug.getNativeHeapAllocatedSize() / MEBIBYTE

    /** What Linux calls the high-water mark of the resident set. */
    override fun peakMemoryMb(): Double? = try {
        File("/proc/self/status").useLines { lines ->
            lines.firstOrNull { it.startsWith("VmHWM:") }?.filter(Char::isDigit)?.toDoubleOrNull()?.div(1024)
        }
    } catch (_: IOException) {
        null
    }

    @TargetApi(Build.VERSION_CODES.S)
    private fun chip(): String = "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}"

    @TargetApi(Build.VERSION_CODES.Q)
    private fun thermalName(): String? =
        STATUSES.getOrNull(context.getSystemService(PowerManager::class.java).currentThermalStatus)

    private companion object {
        const val MEBIBYTE = 1024.0 * 1024.0

        /** PowerManager.THERMAL_STATUS_NONE is 0. */
        val STATUSES = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
    }
}
