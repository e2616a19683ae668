package org.vitconv.demo.inference

import org.tensorflow.lite.Delegate
import org.tensorflow.lite.Interpreter
import org.vitconv.demo.core.Accelerator
import org.vitconv.demo.core.Answer
import org.vitconv.demo.core.Classifier
import org.vitconv.demo.core.Delegation
import org.vitconv.demo.core.InputWriter
import org.vitconv.demo.core.ModelException
import org.vitconv.demo.core.ModelInfo
import org.vitconv.demo.core.ModelProblem
import org.vitconv.demo.core.OutputReader
import org.vitconv.demo.core.PixelSource
import org.vitconv.demo.core.Resampler
import org.vitconv.demo.core.RunOptions
import org.vitconv.demo.core.toStart
import org.vitconv.demo.model.ModelReader
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
    private val rgb = ByteArray(info.image.height * info.image.width * info.image.channels)
    private val input = direct(info.input.bytes)
    private val output = direct(info.output.bytes)
    private val answer = Answer(FloatArray(info.output.elements))

    override fun classify(picture: PixelSource): Answer {
        val started = System.nanoTime()
        resampler.resample(picture, rgb)
        writer.write(rgb, input)
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
         * delegate took. Throws [ModelException] where the file cannot be run like this.
         */
        fun load(file: ByteBuffer, options: RunOptions, log: RuntimeLog): TfLiteClassifier {
            val info = ModelReader.read(file)
            val marker = log.mark()
            val started = System.nanoTime()
            val delegate = Delegates.create(options.accelerator)
            val interpreter = try {
                Interpreter(
                    file,
                    Interpreter.Options().apply {
                        numThreads = options.threads
                        setUseXNNPACK(options.accelerator == Accelerator.XNNPACK)
                        delegate?.let(::addDelegate)
                    },
                )
            } catch (error: IllegalArgumentException) {
                delegate?.close()
                throw refused(error)
            } catch (error: IllegalStateException) {
                delegate?.close()
                throw refused(error)
            }
            // Before the first run, so that a delegate that is made late is counted here and not there.
            val prepared = try {
                interpreter.allocateTensors()
                millisecondsSince(started)
            } catch (error: IllegalStateException) {
                interpreter.close()
                delegate?.close()
                throw refused(error)
            }
            val delegation = when (options.accelerator) {
                Accelerator.CPU -> Delegation(info.nodes, 0, 1)
                else -> log.delegationSince(marker, info.nodes)
            }
            return TfLiteClassifier(info, prepared, delegation, interpreter, delegate)
        }

        private fun refused(error: Exception): ModelException {
            // The runtime's own words, without the stack of calls that follows them.
            val reason = error.message.orEmpty().lineSequence().first().trim().take(300)
            return ModelException(ModelProblem.Refused(reason.ifEmpty { error.javaClass.simpleName }), error)
        }

        private fun direct(bytes: Int): ByteBuffer = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())

        private fun millisecondsSince(nanoTime: Long) = (System.nanoTime() - nanoTime) / 1e6
    }
}
