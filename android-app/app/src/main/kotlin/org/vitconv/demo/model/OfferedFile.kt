package org.vitconv.demo.model

import android.content.ContentResolver
import android.net.Uri
import android.provider.OpenableColumns
import org.vitconv.core.ModelException
import org.vitconv.core.ModelProblem
import java.io.IOException
import java.io.InputStream

/**
 * A file that another app offers at [uri]. Its provider may take its time, and may throw whatever it likes: it is to be
 * asked away from the main thread.
 */
class OfferedFile(private val resolver: ContentResolver, private val uri: Uri) {
    /** What its app calls it; the end of its address where the app doesn't say. */
    fun name(): String = try {
        resolver.query(uri, arrayOf(OpenableColumns.DISPLAY_NAME), null, null, null)?.use { cursor ->
            if (cursor.moveToFirst() && !cursor.isNull(0)) cursor.getString(0) else null
        }
    } catch (_: RuntimeException) {
        null // opening it says whether it is there at all
    } ?: uri.lastPathSegment.orEmpty()

    /** Throws [ModelException]. */
    fun open(): InputStream = try {
        resolver.openInputStream(uri) ?: throw IOException("its app gives nothing")
    } catch (error: IOException) {
        throw unreadable(error)
    } catch (error: RuntimeException) {
        throw unreadable(error)
    }

    private fun unreadable(error: Exception) =
        ModelException(ModelProblem.Unreadable(error.message ?: error.javaClass.simpleName), error)
}
