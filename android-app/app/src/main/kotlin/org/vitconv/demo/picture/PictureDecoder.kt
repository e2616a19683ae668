package org.vitconv.demo.picture

import android.annotation.TargetApi
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.ColorSpace
import android.graphics.ImageDecoder
import android.graphics.Matrix
import android.media.ExifInterface
import android.os.Build
import org.vitconv.demo.core.Orientation
import org.vitconv.demo.core.PixelSource
import org.vitconv.demo.core.screens.PictureException
import org.vitconv.demo.core.screens.PictureProblem
import java.io.ByteArrayInputStream
import java.io.IOException
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
    fun decode(file: ByteArray): BitmapPixels = try {
        val bitmap = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) byImageDecoder(file) else byBitmapFactory(file)
        BitmapPixels(bitmap)
    } catch (error: IOException) {
        throw PictureException(PictureProblem.NotAPicture, error)
    } catch (error: RuntimeException) {
        // Decoders answer some broken pictures with exceptions of their own kinds.
        throw PictureException(PictureProblem.NotAPicture, error)
    } catch (error: OutOfMemoryError) {
        throw PictureException(PictureProblem.NotAPicture, error)
    }

    /** The power of two by which both sides are divided. */
    fun sampleSize(width: Int, height: Int): Int {
        var size = 1
        while (width.toLong() / size * (height / size) > MOST_PIXELS) size *= 2
        return size
    }

    @TargetApi(Build.VERSION_CODES.P)
    private fun byImageDecoder(file: ByteArray): Bitmap =
        ImageDecoder.decodeBitmap(ImageDecoder.createSource(ByteBuffer.wrap(file)), Wanted)

    @TargetApi(Build.VERSION_CODES.P)
    private object Wanted : ImageDecoder.OnHeaderDecodedListener {
        override fun onHeaderDecoded(decoder: ImageDecoder, info: ImageDecoder.ImageInfo, source: ImageDecoder.Source) {
            decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE
            decoder.setTargetColorSpace(ColorSpace.get(ColorSpace.Named.SRGB))
            decoder.setTargetSampleSize(sampleSize(info.size.width, info.size.height))
        }
    }

    /** Before Android 9: no HEIC, and turning upright is left to the caller. */
    private fun byBitmapFactory(file: ByteArray): Bitmap {
        val options = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        BitmapFactory.decodeByteArray(file, 0, file.size, options)
        if (options.outWidth <= 0 || options.outHeight <= 0) throw IOException("not a picture")
        options.inSampleSize = sampleSize(options.outWidth, options.outHeight)
        options.inJustDecodeBounds = false
        options.inPreferredColorSpace = ColorSpace.get(ColorSpace.Named.SRGB)
        val bitmap = BitmapFactory.decodeByteArray(file, 0, file.size, options) ?: throw IOException("a broken picture")
        return bitmap.upright(orientation(file))
    }

    private fun orientation(file: ByteArray): Orientation = try {
        val exif = ExifInterface(ByteArrayInputStream(file))
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
