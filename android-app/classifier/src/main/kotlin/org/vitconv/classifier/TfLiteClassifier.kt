package org.vitconv.classifier

import org.tensorflow.lite.Delegate
import org.tensorflow.lite.Interpreter
import org.vitconv.core.Accelerator
import org.vitconv.core.Answer
import org.vitconv.core.Classifier
import org.vitconv.core.Delegation
import org.vitconv.core.InputWriter
import org.vitconv.core.ModelException
import org.vitconv.core.ModelInfo
import org.vitconv.core.ModelProblem
import org.vitconv.core.OutputReader
import org.vitconv.core.PixelSource
import org.vitconv.core.Resampler
import org.vitconv.core.RunOptions
import org.vitconv.core.toStart
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** A model in TensorFlow Lite's interpreter, with buffers that are made once. */
class TfLiteClassifier private constructor(
    override val info: ModelInfo,
    override val loadMs: Double,
    override val delegation: Delegation,
    private val interpreter: Interpreter,
    private val delegate: Delegate?,
) : Classifier {
    private val resampler = Resampler(info.image)
    private val writer = InputWriter(info.input, info.normalization)
    private val reader = OutputReader(info.output)
    override val pixels = ByteArray(info.image.height * info.image.width * info.image.channels)
    private val input = direct(info.input.bytes)
    private val output = direct(info.output.bytes)
    private val answer = Answer(FloatArray(info.output.elements))

    override fun classify(picture: PixelSource): Answer {
        val started = System.nanoTime()
        resampler.resample(picture, pixels)
        writer.write(pixels, input)
        answer.prepareMs = millisecondsSince(started)
        answer.inferenceMs = run()
        reader.read(output, answer.probabilities)
        return answer
    }

    override fun run(): Double {
        input.toStart()
        output.toStart()
        val started = System.nanoTime()
        try {
            interpreter.run(input, output)
        } catch (error: IllegalArgumentException) {
            throw refused(error)
        } catch (error: IllegalStateException) {
            throw refused(error)
        }
        return millisecondsSince(started)
    }

    override fun close() {
        interpreter.close()
        delegate?.close()
    }

    companion object {
        /**
         * Loads [file], the content of a .tflite file in a direct buffer. [log] is what tells afterwards how much the
         * delegate took, which [delegateFor] makes. Throws [ModelException] where the file cannot be run like this.
         */
        fun load(
            file: ByteBuffer,
            options: RunOptions,
            log: RuntimeLog,
            delegateFor: (Accelerator) -> Delegate? = Delegates::create,
        ): TfLiteClassifier {
            val info = ModelReader.read(file)
            val marker = log.mark()
            val started = System.nanoTime()
            val (interpreter, delegate) = try {
                interpreter(file, options, delegateFor)
            } catch (error: RuntimeException) {
                throw refused(error)
            } catch (error: LinkageError) {
                throw refused(error) // a device without the library that a delegate wants
            }
            val prepared = millisecondsSince(started)
            val delegation = when (options.accelerator) {
                Accelerator.CPU -> Delegation(info.nodes, 0, 1)
                else -> log.delegationSince(marker, info.nodes)
            }
            return TfLiteClassifier(info, prepared, delegation, interpreter, delegate)
        }

        /** Throws what the runtime throws, and leaves nothing open then. */
        private fun interpreter(
            file: ByteBuffer,
            options: RunOptions,
            delegateFor: (Accelerator) -> Delegate?,
        ): Pair<Interpreter, Delegate?> {
            val opened = mutableListOf<AutoCloseable>()
            var done = false
            try {
                val delegate = delegateFor(options.accelerator)?.also { opened += AutoCloseable(it::close) }
                val settings = Interpreter.Options().apply {
                    numThreads = options.threads
                    setUseXNNPACK(options.accelerator == Accelerator.XNNPACK)
                    delegate?.let(::addDelegate)
                }
                val interpreter = Interpreter(file, settings).also { opened += AutoCloseable(it::close) }
                // Before the first run, so that a delegate that is made late is counted here and not there.
                interpreter.allocateTensors()
                done = true
                return interpreter to delegate
            } finally {
                if (!done) opened.asReversed().forEach(AutoCloseable::close)
            }
        }

        private fun refused(error: Throwable): ModelException {
            // The runtime's own words, without the stack of calls that follows them.
            val reason = error.message.orEmpty().lineSequence().first().trim().take(300)
            return ModelException(ModelProblem.Refused(reason.ifEmpty { error.javaClass.simpleName }), error)
        }

        private fun direct(bytes: Int): ByteBuffer = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())

        private fun millisecondsSince(nanoTime: Long) = (System.nanoTime() - nanoTime) / 1e6
    }
}
