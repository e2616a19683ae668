package org.vitconv.demo.model

import android.content.ContentProvider
import android.content.ContentValues
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem
import org.vitconv.demo.TestApplication
import org.vitconv.demo.picture.CaptureProvider
import java.io.FileNotFoundException
import java.io.IOException
import java.io.InputStream

/** What other apps' providers say of a file, and what this app's own provider gives away. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [34], application = TestApplication::class)
class OfferedFileTest {
    private val application get() = RuntimeEnvironment.getApplication()

    /** Answers with [rows], each of one name. */
    class Naming : ContentProvider() {
        override fun onCreate() = true

        override fun query(uri: Uri, columns: Array<String>?, where: String?, with: Array<String>?, order: String?): Cursor? =
            rows?.let { all -> MatrixCursor(arrayOf(OpenableColumns.DISPLAY_NAME)).apply { all.forEach { addRow(arrayOf(it)) } } }

        override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor = throw problem

        override fun getType(uri: Uri): String? = null

        override fun insert(uri: Uri, values: ContentValues?): Uri? = null

        override fun delete(uri: Uri, where: String?, with: Array<String>?) = 0

        override fun update(uri: Uri, values: ContentValues?, where: String?, with: Array<String>?) = 0

        companion object {
            var rows: List<String?>? = null
            var problem: Exception = FileNotFoundException()
        }
    }

    @Test
    fun `a file is named as its app does, and else by its address`() {
        Robolectric.buildContentProvider(Naming::class.java).create("naming")
        val named = mapOf(listOf("mine.tflite") to "mine.tflite", listOf(null) to "17", emptyList<String>() to "17", null to "17")
        for ((rows, name) in named) {
            Naming.rows = rows
            assertEquals("$rows", name, OfferedFile(application.contentResolver, Uri.parse("content://naming/files/17")).name())
        }
        assertEquals("", OfferedFile(application.contentResolver, Uri.parse("content://naming")).name())
    }

    @Test
    fun `a file that its app does not give is said to be unreadable`() {
        Robolectric.buildContentProvider(Naming::class.java).create("naming")
        for (problem in listOf(FileNotFoundException("gone"), IllegalStateException("gone"), SecurityException())) {
            Naming.problem = problem
            val file = OfferedFile(application.contentResolver, Uri.parse("content://naming/files/17"))
            val error = assertThrows(ModelException::class.java) { file.open() }
            assertEquals(ModelProblem.Unreadable(problem.message ?: "SecurityException"), error.problem)
        }
    }

    @Test
    fun `a stream that breaks leaves nothing behind, whatever it throws`() {
        for (problem in listOf(IOException("gone"), IOException(), IllegalStateException("gone"), IllegalStateException())) {
            val broken = object : InputStream() {
                override fun read(): Int = throw problem

                override fun read(into: ByteArray, offset: Int, count: Int): Int = throw problem
            }
            val folder = application.filesDir.resolve("copies")
            val error = assertThrows(ModelException::class.java) { OpenedModels(folder).import("../a.tflite", broken) }
            assertEquals(ModelProblem.Unreadable(problem.message ?: "no reason is known"), error.problem)
            assertEquals(emptyList<String>(), folder.list().orEmpty().toList())
        }
    }

    @Test
    fun `the app lends one file and nothing else`() {
        val other = Uri.parse("content://org.vitconv.demo.capture/other.jpg")
        assertThrows(FileNotFoundException::class.java) { application.contentResolver.openFileDescriptor(other, "r") }
        val lent = CaptureProvider.uri(application)
        application.contentResolver.openFileDescriptor(lent, "rwt")!!.close()
        assertTrue(application.cacheDir.resolve("capture.jpg").exists())
        assertEquals("image/jpeg", application.contentResolver.getType(lent))
        assertNull(application.contentResolver.query(lent, null, null, null, null))
        assertNull(application.contentResolver.insert(lent, ContentValues()))
        assertEquals(0, application.contentResolver.delete(lent, null, null))
        assertEquals(0, application.contentResolver.update(lent, ContentValues(), null, null))
    }
}
