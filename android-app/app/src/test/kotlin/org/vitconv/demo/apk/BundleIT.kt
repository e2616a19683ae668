package org.vitconv.demo.apk

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Before
import org.junit.Test
import java.io.File
import java.util.jar.JarFile

/** The app bundle, where one was made (-Dbundle), looked at as a file. */
class BundleIT {
    private val folder = File(System.getProperty("vitconv.apks"))
    private val bundle = File(folder, "vitconv-demo-release.aab")
    private val release = Apk(File(folder, "vitconv-demo-release.apk"))

    @Before
    fun itWasAskedFor() = assumeTrue("no app bundle was asked for: -Dbundle", System.getProperty("vitconv.bundle") == "true")

    private fun names() = JarFile(bundle).use { jar -> jar.entries().toList().map { it.name }.filterNot { it.startsWith("META-INF/") } }

    @Test
    fun `all of it is signed with a key that is not Android's debug key`() {
        JarFile(bundle, true).use { jar ->
            for (entry in jar.entries().toList().filterNot { it.isDirectory || it.name.startsWith("META-INF/") }) {
                jar.getInputStream(entry).use { it.readBytes() } // the signature is looked at while an entry is read
                val signers = entry.codeSigners.orEmpty()
                assertTrue(entry.name, signers.isNotEmpty())
                assertTrue(entry.name, signers.none { "Android Debug" in it.signerCertPath.certificates.first().toString() })
            }
        }
    }

    @Test
    fun `it holds what the release holds`() {
        val wanted = release.entries.map { it.name }.map {
            when {
                it == "AndroidManifest.xml" -> "base/manifest/$it"
                it == "resources.arsc" -> "base/resources.pb"
                it.endsWith(".dex") -> "base/dex/$it"
                else -> "base/$it"
            }
        }
        // Beside that, what bundletool adds: how the store is to treat it.
        val extra = setOf("BundleConfig.pb", "base/native.pb", "base/assets.pb")
        assertEquals(wanted.filterNot { it.startsWith("base/META-INF/") }.toSet(), names().toSet() - extra)
    }

    @Test
    fun `a store knows it by the ID of the build`() {
        val manifest = JarFile(bundle).use { String(it.getInputStream(it.getEntry("base/manifest/AndroidManifest.xml")).readBytes(), Charsets.UTF_8) }
        assertTrue(System.getProperty("vitconv.application.id") in manifest)
    }
}
