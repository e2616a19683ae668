package org.vitconv.core

/** What may be asked of the app from outside, without touch; nothing else is accepted. */
sealed interface TaskRequest {
    /** Names the result, and is nothing but letters, digits and hyphens: it becomes a file's name. */
    val id: String

    data class SelfTest(override val id: String) : TaskRequest

    /** [model] is the plain name of a bundled file; null stands for all of them. */
    data class Benchmark(
        override val id: String,
        val model: String?,
        val options: RunOptions,
        val runs: Int,
    ) : TaskRequest

    companion object {
        const val MOST_RUNS = 10_000
        const val DEFAULT_RUNS = 50
        private val idForm = Regex("[A-Za-z0-9-]{1,64}")
        private val modelForm = Regex("[A-Za-z0-9._-]{1,128}\\.tflite")
        private val keys = mapOf(
            "selftest" to setOf("task", "id"),
            "benchmark" to setOf("task", "id", "model", "threads", "runs", "delegate"),
        )

        /** Whether [id] may name a result. */
        fun isId(id: Any?): Boolean = id is String && idForm.matches(id)

        /** Throws IllegalArgumentException, whose message is safe to log, for all that is not a request. */
        fun parse(extras: Map<String, Any?>): TaskRequest {
            val id = extras["id"]
            require(isId(id)) { "id must be 1 to 64 letters, digits and hyphens" }
            val task = extras["task"]
            val allowed = requireNotNull(keys[task]) { "task must be one of ${keys.keys.joinToString()}" }
            require(allowed.containsAll(extras.keys)) { "$task takes nothing but ${allowed.joinToString()}" }
            return if (task == "selftest") SelfTest(id as String) else benchmark(id as String, extras)
        }

        private fun benchmark(id: String, extras: Map<String, Any?>): Benchmark {
            val model = extras["model"]
            require(model == null || (model is String && modelForm.matches(model))) {
                "model must be the plain name of a bundled .tflite file"
            }
            val threads = extras.number("threads", 1, 1..RunOptions.MOST_THREADS)
            val runs = extras.number("runs", DEFAULT_RUNS, 1..MOST_RUNS)
            val delegate = extras["delegate"] ?: Accelerator.XNNPACK.id
            val accelerator = (delegate as? String)?.let(Accelerator::ofId)
            requireNotNull(accelerator) { "delegate must be one of ${Accelerator.entries.joinToString { it.id }}" }
            return Benchmark(id, model as String?, RunOptions(threads, accelerator), runs)
        }

        private fun Map<String, Any?>.number(name: String, otherwise: Int, range: IntRange): Int {
            val value = this[name] ?: otherwise
            require(value is Int && value in range) { "$name must be a whole number from ${range.first} to ${range.last}" }
            return value
        }
    }
}
