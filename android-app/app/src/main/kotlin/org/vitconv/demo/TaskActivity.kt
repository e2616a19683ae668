package org.vitconv.demo

import android.app.Activity
import android.content.Intent
import android.os.Bundle
import android.util.Log
import android.view.WindowManager
import android.widget.TextView
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext
import org.vitconv.demo.core.BenchmarkDocument
import org.vitconv.demo.core.Documents
import org.vitconv.demo.core.ModelException
import org.vitconv.demo.core.SelfTestDocument
import org.vitconv.demo.core.TaskRequest
import java.io.File
import java.io.IOException

/**
 * Self-test and benchmark without touch, for a command line on the other side of adb:
 *
 *     am start -n org.vitconv.demo/.TaskActivity --es task selftest|benchmark --es id ID
 *         [--es model FILE.tflite] [--ei threads N] [--ei runs N] [--es delegate cpu|xnnpack|gpu|nnapi]
 *
 * writes results/ID.json into the app's external files, whole or not at all, and then one line to the log, with the
 * tag `vitconv`: `done ID ok` or `done ID failed REASON`. It is visible while it runs, since Android slows down what is
 * not. Any app may start it: nothing but [TaskRequest] is accepted, and nothing else is ever written.
 */
class TaskActivity : Activity() {
    private val scope: CoroutineScope = MainScope()

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        setContentView(R.layout.task)
        // Made anew after a rotation, the work goes on where it was asked for first.
        if (savedInstanceState == null) scope.launch { work(intent.extrasOrEmpty()) } else finish()
    }

    override fun onDestroy() {
        scope.cancel()
        super.onDestroy()
    }

    private suspend fun work(extras: Map<String, Any?>) {
        // An ID that is none isn't repeated: the log is read by programs.
        val id = extras["id"].takeIf(TaskRequest::isId) ?: "-"
        val failure = try {
            val request = TaskRequest.parse(extras)
            show(request)
            oneAtATime.withLock { write(request.id, run(request)) }
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
        finish()
    }

    private suspend fun run(request: TaskRequest): String {
        val screens = (application as DemoApplication).screens()
        return when (request) {
            is TaskRequest.SelfTest ->
                Documents.encodeToString(SelfTestDocument.serializer(), screens.selfTests.run())
            is TaskRequest.Benchmark -> {
                val models = screens.bundledModels.filter { request.model == null || it.name == request.model }
                require(models.isNotEmpty()) {
                    if (request.model == null) "no model is bundled" else "no bundled model is named ${request.model}"
                }
                val document = screens.benchmarks.run(models, request.options, request.runs)
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
