package org.vitconv.demo.apk

import com.android.apksig.ApkVerifier
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File
import java.nio.ByteOrder

/** The two packages that the build made, looked at as files. */
class ApkIT {
    private val folder = File(System.getProperty("vitconv.apks"))
    private val release = Apk(File(folder, "vitconv-demo-release.apk"))
    private val debug = Apk(File(folder, "vitconv-demo-debug.apk"))
    private val both = listOf(release, debug)

    private fun Apk.elements(name: String) = manifest().filter { it.name == name }

    private fun Apk.abis() = entries.mapNotNull { Regex("lib/([^/]+)/.*").matchEntire(it.name)?.groupValues?.get(1) }.toSet()

    @Test
    fun `both are signed by the schemes v2 and v3`() {
        for (apk in both) {
            val result = ApkVerifier.Builder(apk.file).build().verify()
            assertTrue("${result.allErrors}", result.isVerified)
            assertTrue(result.isVerifiedUsingV2Scheme && result.isVerifiedUsingV3Scheme)
            assertEquals(emptyList<Any>(), result.warnings)
        }
    }

    @Test
    fun `what is mapped into memory is stored and aligned`() {
        for (apk in both) {
            for (entry in apk.entries) {
                val library = entry.name.endsWith(".so")
                if (library || entry.name.endsWith(".tflite") || entry.name == "resources.arsc") assertTrue(entry.name, entry.stored)
                if (entry.stored) assertEquals(entry.name, 0L, entry.offset % if (library) 16384 else 4)
            }
        }
    }

    @Test
    fun `the models are there as they were staged`() {
        val staged = File(System.getProperty("vitconv.models")).walk().filter(File::isFile)
            .associate { "assets/" + it.relativeTo(File(System.getProperty("vitconv.models"))).path to it.length() }
        for (apk in both) assertEquals(staged.keys, apk.entries.map { it.name }.filter { it.startsWith("assets/") }.toSet())
        for (entry in release.entries.filter { it.name.endsWith(".tflite") }) assertEquals(staged[entry.name], entry.size)
    }

    @Test
    fun `no permission but the camera's`() {
        for (apk in both) {
            assertEquals(listOf("android.permission.CAMERA"), apk.elements("uses-permission").map { it.attributes["name"] })
        }
    }

    @Test
    fun `nothing is exported but the two activities`() {
        val components = release.manifest().filter { it.parent == "application" && it.name in setOf("activity", "service", "receiver", "provider", "activity-alias") }
        val exported = components.filter { it.attributes["exported"] == "true" }.map { it.attributes["name"] }
        assertEquals(listOf("org.vitconv.demo.MainActivity", "org.vitconv.demo.TaskActivity"), exported)
        assertEquals(listOf(null, "android.permission.DUMP"), components.filter { it.name == "activity" }.map { it.attributes["permission"] })
        assertTrue(components.filter { it.name != "activity" }.all { it.attributes["exported"] == "false" })
    }

    @Test
    fun `the releases of Android are those of the build`() {
        for (apk in both) {
            val sdk = apk.elements("uses-sdk").single().attributes
            assertEquals(System.getProperty("vitconv.min.sdk"), sdk["minSdkVersion"])
            assertEquals(System.getProperty("vitconv.target.sdk"), sdk["targetSdkVersion"])
            assertTrue("what Google Play takes", sdk.getValue("targetSdkVersion").toInt() >= 36)
        }
    }

    @Test
    fun `a store knows them by the ID and the version code of the build`() {
        val id = System.getProperty("vitconv.application.id")
        for (apk in both) {
            val manifest = apk.elements("manifest").single().attributes
            assertEquals(listOf(id, System.getProperty("vitconv.version.code")), listOf("package", "versionCode").map(manifest::get))
            assertEquals("$id.capture", apk.elements("provider").single().attributes["authorities"])
        }
    }

    @Test
    fun `devices without a camera are offered the app, too`() {
        val features = release.elements("uses-feature").associate { it.attributes["name"] to it.attributes["required"] }
        // What the permission for the camera implies, unless it is said otherwise.
        for (name in listOf("android.hardware.camera", "android.hardware.camera.autofocus")) assertEquals("false", features[name])
        assertEquals(setOf("false"), features.values.toSet())
    }

    @Test
    fun `phones' machine types in both, an emulator's in debug alone, which alone can be debugged`() {
        assertEquals(setOf("arm64-v8a", "armeabi-v7a"), release.abis())
        assertEquals(release.abis() + "x86_64", debug.abis())
        assertEquals(listOf(null, "true"), both.map { it.elements("application").single().attributes["debuggable"] })
    }

    @Test
    fun `every machine type has the same libraries`() {
        for (apk in both) {
            val byAbi = apk.entries.filter { it.name.startsWith("lib/") }.groupBy({ it.name.split('/')[1] }, { it.name.split('/')[2] })
            assertEquals(setOf(setOf("libtensorflowlite_jni.so", "libtensorflowlite_gpu_jni.so")), byAbi.values.map { it.toSet() }.toSet())
        }
    }

    /** ELF: the alignment of each part that is loaded (type 1), in the program header of 64-bit and 32-bit files. */
    private fun Apk.pageBytes(library: String): Long {
        val elf = content(library).order(ByteOrder.LITTLE_ENDIAN)
        val is64 = elf.get(4).toInt() == 2
        val start = if (is64) elf.getLong(32).toInt() else elf.getInt(28)
        val (size, count) = if (is64) elf.getShort(54) to elf.getShort(56) else elf.getShort(42) to elf.getShort(44)
        return (0 until count).map { start + it * size }.filter { elf.getInt(it) == 1 }
            .minOf { if (is64) elf.getLong(it + 48) else elf.getInt(it + 28).toLong() }
    }

    @Test
    fun `with LiteRT the libraries fit pages of 16 KB, which a store demands`() {
        val found = release.entries.filter { it.name.startsWith("lib/arm64-v8a/") }.map { release.pageBytes(it.name) }
        assertTrue("$found", found.isNotEmpty() && found.all { if (System.getProperty("vitconv.runtime") == "litert") it >= 16384 else it == 4096L })
    }

    /** Dex: a map of sections, of which 7 are call sites and 8 are method handles; only invoke-custom needs them. */
    @Test
    fun `no instruction depends on a bootstrap method that Android may not have`() {
        for (apk in both) {
            val dexes = apk.entries.map { it.name }.filter { it.endsWith(".dex") }
            assertTrue(dexes.isNotEmpty())
            for (name in dexes) {
                val dex = apk.content(name).order(ByteOrder.LITTLE_ENDIAN)
                val map = dex.getInt(52)
                val sections = List(dex.getInt(map)) { dex.getShort(map + 4 + 12 * it).toInt() }
                assertTrue(sections.size > 5)
                assertFalse("$name of ${apk.file.name}", 7 in sections || 8 in sections)
            }
        }
    }

    @Test
    fun `what native code looks up by name has kept its name`() {
        val dex = release.entries.filter { it.name.endsWith(".dex") }.joinToString("") { String(release.content(it.name).array(), Charsets.ISO_8859_1) }
        val names = listOf(
            "org/tensorflow/lite/NativeInterpreterWrapper", "org/tensorflow/lite/TensorImpl", "org/tensorflow/lite/gpu/GpuDelegate",
            "org/tensorflow/lite/gpu/CompatibilityList", "org/tensorflow/lite/InterpreterFactoryImpl", "org/tensorflow/lite/nnapi/NnApiDelegateImpl",
            "org/vitconv/demo/TaskActivity", "org/vitconv/demo/picture/CaptureProvider",
        )
        for (name in names) assertTrue(name, "L$name;" in dex)
    }
}
