package org.vitconv.classifier

import android.os.Process
import android.util.Log
import org.vitconv.core.Delegation
import org.vitconv.core.DelegationLog
import java.io.IOException
import java.util.concurrent.TimeUnit

/** The runtime's own words; nothing else tells how much of a graph a delegate took. */
interface RuntimeLog {
    /** Writes a line that is found again. */
    fun mark(): String

    fun delegationSince(marker: String, nodes: Int): Delegation
}

/** This process's lines in Android's log, which every app may read of itself. */
class Logcat : RuntimeLog {
    private var marks = 0

    /** As loud as the runtime's own lines: where the log drops those, the marker is missing as well. */
    override fun mark(): String = "load ${Process.myPid()}-${++marks}".also { Log.v(TAG, it) }

    override fun delegationSince(marker: String, nodes: Int): Delegation = DelegationLog.read(lines(), marker, nodes)

    private fun lines(): List<String>? = try {
        val command = listOf("logcat", "-d", "-v", "brief", "--pid=${Process.myPid()}")
        val logcat = ProcessBuilder(command).redirectErrorStream(true).start()
        val lines = logcat.inputStream.bufferedReader().readLines()
        if (logcat.waitFor(5, TimeUnit.SECONDS)) lines else null
    } catch (_: IOException) {
        null
    }

    private companion object {
        const val TAG = "vitconv"
    }
}
