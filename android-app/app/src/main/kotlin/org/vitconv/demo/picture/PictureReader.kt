package org.vitconv.demo.picture

import android.content.ContentResolver
import android.net.Uri
import org.vitconv.classifier.BitmapPixels
import org.vitconv.classifier.PictureDecoder
import org.vitconv.core.screens.PictureException
import org.vitconv.core.screens.PictureProblem

/** Reads pictures of other apps. */
class PictureReader(private val resolver: ContentResolver) {
    /** Throws [PictureException]; to be called away from the main thread. */
    fun read(uri: Uri): BitmapPixels {
        // A file: address would be opened with this app's own rights, its private files among them.
        if (uri.scheme != ContentResolver.SCHEME_CONTENT) throw PictureException(PictureProblem.CannotOpen)
        return PictureDecoder.decode(resolver, uri)
    }
}
