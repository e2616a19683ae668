package org.vitconv.classifier

import android.annotation.TargetApi
import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.ColorSpace
import android.graphics.ImageDecoder
import android.graphics.Matrix
import android.net.Uri
import android.os.Build
import androidx.exifinterface.media.ExifInterface
import org.vitconv.core.Orientation
import org.vitconv.core.PixelSource
import org.vitconv.core.screens.PictureException
import org.vitconv.core.screens.PictureProblem
import java.io.ByteArrayInputStream
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer

/** A bitmap, read row by row. */
class BitmapPixels(val bitmap: Bitmap) : PixelSource {
    override val width get() = bitmap.width
    override val height get() = bitmap.height

    override fun readRow(y: Int, argb: IntArray) = bitmap.getPixels(argb, 0, width, 0, y, width, 1)
}

/** Decodes a picture that stands upright, in memory that getPixels reaches. */
object PictureDecoder {
    /** Larger ones are decoded at ½, ¼ …: 16 megapixels take 64 MB, and no model sees that much. */
    private const val MOST_PIXELS = 16_000_000L

    /** Throws [PictureException] for all that is no whole picture. */
    fun decode(file: ByteArray): BitmapPixels = attempt {
        if (since9) ofBytes(file) else byBitmapFactory { ByteArrayInputStream(file) }
    }

    /**
     * The same for what another app gives at [uri]. The file is read piece by piece as the decoder wants it, and never
     * held: it may be larger than this app's memory. Throws [PictureException].
     */
    fun decode(resolver: ContentResolver, uri: Uri): BitmapPixels = attempt {
        if (since9) ofAnotherApp(resolver, uri) else byBitmapFactory { open(resolver, uri) }
    }

    /** The power of two by which both sides are divided. */
    fun sampleSize(width: Int, height: Int): Int {
        var size = 1
        while (width.toLong() / size * (height / size) > MOST_PIXELS) size *= 2
        return size
    }

    private val since9 get() = Build.VERSION.SDK_INT >= Build.VERSION_CODES.P

    private fun attempt(decode: () -> Bitmap): BitmapPixels = try {
        BitmapPixels(decode())
    } catch (error: IOException) {
        throw PictureException(PictureProblem.NotAPicture, error)
    } catch (error: RuntimeException) {
        // Decoders answer some broken pictures with exceptions of their own kinds.
        throw PictureException(PictureProblem.NotAPicture, error)
    } catch (error: OutOfMemoryError) {
        throw PictureException(PictureProblem.TooLarge, error)
    }

    @TargetApi(Build.VERSION_CODES.P)
    private fun ofBytes(file: ByteArray): Bitmap =
        ImageDecoder.decodeBitmap(ImageDecoder.createSource(ByteBuffer.wrap(file)), Wanted())

    @TargetApi(Build.VERSION_CODES.P)
    private fun ofAnotherApp(resolver: ContentResolver, uri: Uri): Bitmap {
        val wanted = Wanted()
        try {
            return ImageDecoder.decodeBitmap(ImageDecoder.createSource(resolver, uri), wanted)
        } catch (error: ImageDecoder.DecodeException) {
            if (error.error == ImageDecoder.DecodeException.SOURCE_EXCEPTION) throw cannotOpen(error)
            throw error
        } catch (error: IOException) {
            throw cannotOpen(error)
        } catch (error: RuntimeException) {
            // Until the decoder has seen the picture's size this is the other app's provider: what it throws, or
            // Android in its place where it may not or has died, arrives here.
            throw if (wanted.sawPicture) error else cannotOpen(error)
        }
    }

    @TargetApi(Build.VERSION_CODES.P)
    private class Wanted : ImageDecoder.OnHeaderDecodedListener {
        var sawPicture = false
            private set

        override fun onHeaderDecoded(decoder: ImageDecoder, info: ImageDecoder.ImageInfo, source: ImageDecoder.Source) {
            sawPicture = true
            decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE
            decoder.setTargetColorSpace(ColorSpace.get(ColorSpace.Named.SRGB))
            decoder.setTargetSampleSize(sampleSize(info.size.width, info.size.height))
        }
    }

    /** Before Android 9: no HEIC, and turning upright is left to the caller. */
    private fun byBitmapFactory(open: () -> InputStream): Bitmap {
        val options = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        open().use { BitmapFactory.decodeStream(it, null, options) }
        if (options.outWidth <= 0 || options.outHeight <= 0) throw IOException("not a picture")
        options.inSampleSize = sampleSize(options.outWidth, options.outHeight)
        options.inJustDecodeBounds = false
        options.inPreferredColorSpace = ColorSpace.get(ColorSpace.Named.SRGB)
        val bitmap = open().use { BitmapFactory.decodeStream(it, null, options) } ?: throw IOException("a broken picture")
        return bitmap.upright(open().use(::orientation))
    }

    private fun open(resolver: ContentResolver, uri: Uri): InputStream = try {
        resolver.openInputStream(uri) ?: throw IOException("$uri gives nothing")
    } catch (error: IOException) {
        throw cannotOpen(error)
    } catch (error: RuntimeException) {
        throw cannotOpen(error) // as in ofAnotherApp
    }

    private fun cannotOpen(error: Exception) = PictureException(PictureProblem.CannotOpen, error)

    private fun orientation(file: InputStream): Orientation = try {
        val exif = ExifInterface(file)
        Orientation.ofExif(exif.getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL))
    } catch (_: IOException) {
        // The formats that it doesn't know have no orientation either.
        Orientation.UPRIGHT
    } catch (_: RuntimeException) {
        // Damaged EXIF data; the pixels may be well.
        Orientation.UPRIGHT
    }

    private fun Bitmap.upright(orientation: Orientation): Bitmap {
        if (orientation == Orientation.UPRIGHT) return this
        val matrix = Matrix()
        if (orientation.mirrored) matrix.postScale(-1f, 1f)
        matrix.postRotate(90f * orientation.quarterTurns)
        return Bitmap.createBitmap(this, 0, 0, width, height, matrix, false)
    }
}
