package org.vitconv.classifier

import android.media.Image
import org.vitconv.core.Orientation
import org.vitconv.core.PixelSource
import org.vitconv.core.Plane
import org.vitconv.core.YuvFrame

/** [image]'s pixels, upright. Its planes are Y, U and V, in this order: Android promises it for YUV_420_888. */
fun YuvFrame.read(image: Image, orientation: Orientation): PixelSource {
    val (y, u, v) = image.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
    return read(image.width, image.height, y, u, v, orientation)
}
