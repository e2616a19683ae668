package org.vitconv.demo

import android.app.Activity
import android.content.Intent
import android.os.Bundle
import android.os.PowerManager
import android.util.Log
import android.view.WindowManager
import android.widget.TextView
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeoutOrNull
import org.vitconv.core.BenchmarkDocument
import org.vitconv.core.Documents
import org.vitconv.core.ModelException
import org.vitconv.core.SelfTestDocument
import org.vitconv.core.TaskRequest
import java.io.File
import java.io.IOException

/**
 * Self-test and benchmark without touch, for a command line on the other side of adb:
 *
 *     am start -n org.vitconv.demo/.TaskActivity --es task selftest|benchmark --es id ID
 *         [--es model FILE.tflite] [--ei threads N] [--ei runs N] [--es delegate cpu|xnnpack|gpu|nnapi]
 *
 * writes results/ID.json into the app's external files, whole or not at all, and then one line to the log, with the
 * tag `vitconv`: `done ID ok` or `done ID failed REASON`. What is asked for while a task runs waits for its turn.
 *
 * A task runs only while this is seen, in front of the lock screen if need be: Android gives the rest little of the
 * processor, and the figures would not be the device's. Only who holds the permission DUMP may start it, as adb's shell
 * does; nothing but [TaskRequest] is accepted, and nothing else is ever written.
 */
class TaskActivity : Activity() {
    private val scope: CoroutineScope = MainScope()
    private val isStarted = MutableStateFlow(false)

    /** Tasks that were asked for and have not ended. */
    private var unfinished = 0

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON or IN_FRONT)
        setContentView(R.layout.task)
        // Made anew after a rotation, the work goes on where it was asked for first.
        if (savedInstanceState == null) begin(intent) else finish()
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        begin(intent)
    }

    override fun onStart() {
        super.onStart()
        isStarted.value = true
    }

    override fun onStop() {
        isStarted.value = false
        super.onStop()
    }

    override fun onDestroy() {
        scope.cancel()
        super.onDestroy()
    }

    private fun begin(request: Intent) {
        unfinished++
        scope.launch {
            work(request.extrasOrEmpty())
            if (--unfinished == 0) finish()
        }
    }

    private suspend fun work(extras: Map<String, Any?>) {
        // An ID that is none isn't repeated: the log is read by programs.
        val id = extras["id"].takeIf(TaskRequest::isId) ?: "-"
        val failure = try {
            val request = TaskRequest.parse(extras)
            oneAtATime.withLock {
                show(request)
                write(request.id, whileSeen { run(request) })
            }
            null
        } catch (stopped: CancellationException) {
            Log.i(TAG, "done $id failed stopped before it was finished")
            throw stopped
        } catch (error: ModelException) {
            error.problem.message
        } catch (error: IllegalArgumentException) {
            error.message.orEmpty()
        } catch (error: IOException) {
            error.message.orEmpty()
        }
        Log.i(TAG, if (failure == null) "done $id ok" else "done $id failed ${failure.lineSequence().firstOrNull().orEmpty()}")
    }

    /** Calls [block] once this is in front on a screen that is on. Throws IOException where it isn't, or not until the end. */
    private suspend fun <T> whileSeen(block: suspend () -> T): T = coroutineScope {
        val power = getSystemService(PowerManager::class.java)
        // The flags have the screen turned on, which takes a moment.
        withTimeoutOrNull(SECONDS_TO_BE_SEEN * 1000L) {
            while (!isStarted.value || !power.isInteractive) delay(100)
        } ?: throw IOException("the screen is off or locked. Wake the phone, unlock it, and try again")
        val watch = launch {
            isStarted.first { !it }
            throw IOException("the app left the screen before it was done. Leave it in front, and the screen on")
        }
        block().also { watch.cancel() }
    }

    private suspend fun run(request: TaskRequest): String {
        val parts = (application as DemoApplication).parts()
        return when (request) {
            is TaskRequest.SelfTest ->
                Documents.encodeToString(SelfTestDocument.serializer(), parts.selfTests(scope).run())
            is TaskRequest.Benchmark -> {
                val models = parts.bundledModels.filter { request.model == null || it.name == request.model }
                require(models.isNotEmpty()) {
                    if (request.model == null) "no model is bundled" else "no bundled model is named ${request.model}"
                }
                val document = parts.benchmarks(scope).run(models, request.options, request.runs)
                Documents.encodeToString(BenchmarkDocument.serializer(), document)
            }
        }
    }

    private suspend fun write(id: String, document: String) = withContext(Dispatchers.IO) {
        val folder = File(getExternalFilesDir(null) ?: throw IOException("there is no external storage"), "results")
        if (!folder.isDirectory && !folder.mkdirs()) throw IOException("cannot make $folder")
        val temporary = File(folder, ".$id.tmp")
        temporary.writeText(document + "\n")
        if (!temporary.renameTo(File(folder, "$id.json"))) throw IOException("cannot rename $temporary")
    }

    private fun show(request: TaskRequest) {
        findViewById<TextView>(R.id.task_what).setText(
            when (request) {
                is TaskRequest.SelfTest -> R.string.task_selftest
                is TaskRequest.Benchmark -> R.string.task_benchmark
            },
        )
    }

    private companion object {
        const val TAG = "vitconv"
        const val SECONDS_TO_BE_SEEN = 10

        /** On a phone that sleeps or is locked. */
        @Suppress("DEPRECATION") // their successors came with Android 8.1
        const val IN_FRONT =
            WindowManager.LayoutParams.FLAG_SHOW_WHEN_LOCKED or WindowManager.LayoutParams.FLAG_TURN_SCREEN_ON

        /** Two at once would disturb each other's figures. */
        val oneAtATime = Mutex()

        /** Text and numbers only: any other kind becomes null, which no request has. */
        fun Intent.extrasOrEmpty(): Map<String, Any?> = try {
            val extras = extras ?: Bundle.EMPTY
            @Suppress("DEPRECATION") // the only way to read an extra whose type isn't known
            extras.keySet().associateWith { name -> extras.get(name).takeIf { it is String || it is Int } }
        } catch (_: RuntimeException) {
            emptyMap() // not even Android can read them
        }
    }
}
