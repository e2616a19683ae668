package org.vitconv.demo.picture

import android.content.ContentResolver
import android.net.Uri
import org.vitconv.demo.core.screens.PictureException
import org.vitconv.demo.core.screens.PictureProblem
import java.io.ByteArrayOutputStream
import java.io.IOException

/** Reads pictures of other apps. */
class PictureReader(private val resolver: ContentResolver) {
    /** Throws [PictureException]; to be called away from the main thread. */
    fun read(uri: Uri): BitmapPixels = PictureDecoder.decode(bytes(uri))

    private fun bytes(uri: Uri): ByteArray {
        // A file: address would be opened with this app's own rights, its private files among them.
        if (uri.scheme != ContentResolver.SCHEME_CONTENT) throw PictureException(PictureProblem.CannotOpen)
        try {
            val stream = resolver.openInputStream(uri) ?: throw PictureException(PictureProblem.CannotOpen)
            val out = ByteArrayOutputStream()
            stream.use {
                val block = ByteArray(1 shl 16)
                while (true) {
                    val count = it.read(block)
                    if (count < 0) break
                    out.write(block, 0, count)
                    if (out.size() > LARGEST) throw PictureException(PictureProblem.NotAPicture)
                }
            }
            return out.toByteArray()
        } catch (error: IOException) {
            throw PictureException(PictureProblem.CannotOpen, error)
        } catch (error: RuntimeException) {
            // Another app's provider gives its pictures away: what it throws, or Android in its place where it may
            // not or has died, arrives here.
            throw PictureException(PictureProblem.CannotOpen, error)
        }
    }

    private companion object {
        /** A picture of 100 megapixels has a third of it. */
        const val LARGEST = 128 shl 20
    }
}
