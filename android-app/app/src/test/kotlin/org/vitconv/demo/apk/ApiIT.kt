package org.vitconv.demo.apk

import org.codehaus.mojo.animal_sniffer.ClassListBuilder
import org.codehaus.mojo.animal_sniffer.SignatureChecker
import org.codehaus.mojo.animal_sniffer.logging.Logger
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File

/**
 * The app is compiled against all of Android 14, hidden classes included. Here every class, method and field that it
 * uses is looked up in the public API: of the oldest Android that it runs on, but for what is marked with @TargetApi and
 * called behind a check of the version; and of the newest it knows, without exception.
 */
class ApiIT {
    private val build = File(System.getProperty("vitconv.build"))
    private val classes = listOf(File(build, "classes"), File(build, "../../core/target/classes"), File(build, "../../classifier/target/classes")).onEach { assertTrue("$it", it.isDirectory) }

    private class Collected : Logger {
        val errors = mutableListOf<String>()

        override fun info(message: String) = Unit

        override fun info(message: String, error: Throwable) = Unit

        override fun debug(message: String) = Unit

        override fun debug(message: String, error: Throwable) = Unit

        override fun warn(message: String) = Unit

        override fun warn(message: String, error: Throwable) = Unit

        override fun error(message: String) {
            errors += message
        }

        override fun error(message: String, error: Throwable) {
            errors += "$message: $error"
        }
    }

    /** What [roots] use and the API doesn't have, of what isn't the app's or its libraries' own. */
    private fun missing(api: String, roots: List<File>, excused: String?): List<String> {
        val log = Collected()
        val own = ClassListBuilder(log).apply { roots.forEach(::process) }.packages +
            setOf("kotlin.*", "kotlinx.*", "androidx.*", "org.tensorflow.*", "com.google.flatbuffers", "com.google.flatbuffers.*", "org.jetbrains.*")
        val signatures = File(System.getProperty("vitconv.signatures"), "gummy-bears-api-$api.signature")
        val checker = SignatureChecker(signatures.inputStream(), own, log)
        checker.setAnnotationTypes(listOfNotNull(excused))
        checker.setSourcePath(emptyList())
        roots.forEach(checker::process)
        return log.errors
    }

    @Test
    fun `nothing newer than the oldest Android is called unguarded`() {
        assertEquals(emptyList<String>(), missing(System.getProperty("vitconv.min.sdk"), classes, "android.annotation.TargetApi"))
    }

    @Test
    fun `nothing hidden is called, guarded or not`() {
        assertEquals(emptyList<String>(), missing(System.getProperty("vitconv.compile.sdk"), classes, null))
    }

    @Test
    fun `the guards are needed, so the check sees through them`() {
        val unguarded = missing(System.getProperty("vitconv.min.sdk"), classes, null)
        assertTrue("$unguarded", unguarded.any { "ImageDecoder" in it } && unguarded.any { "currentThermalStatus" in it || "getCurrentThermalStatus" in it })
    }
}
