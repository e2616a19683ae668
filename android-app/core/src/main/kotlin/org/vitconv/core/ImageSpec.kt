package org.vitconv.core

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable

/** How a picture of another size or aspect gets to the model's. */
@Serializable
enum class ResizeRule {
    /** Scales both sides and ignores the aspect. */
    @SerialName("stretch") STRETCH,

    /** First cuts the largest centred rectangle that has the model's aspect. */
    @SerialName("center_crop") CENTER_CROP,
}

/** What a model takes: RGB pixels of [height] × [width], whatever the picture was. */
@Serializable
data class ImageSpec(
    val height: Int,
    val width: Int,
    val channels: Int = 3,
    val resize: ResizeRule = ResizeRule.STRETCH,
) {
    init {
        require(height in 1..LARGEST_SIDE && width in 1..LARGEST_SIDE) {
            "an image must have sides of 1 to $LARGEST_SIDE pixels, not $height×$width"
        }
        require(channels == 3) { "only RGB images (3 channels) are supported, not $channels channels" }
    }

    /** The part of a [pictureWidth] × [pictureHeight] picture that is scaled to the model's size. */
    fun sourceBox(pictureWidth: Int, pictureHeight: Int): Box {
        if (resize == ResizeRule.STRETCH) return Box(0f, 0f, pictureWidth.toFloat(), pictureHeight.toFloat())
        val scale = minOf(pictureWidth / width.toDouble(), pictureHeight / height.toDouble())
        // Rounding can make one of them less than 0 by a hair.
        val left = maxOf((pictureWidth - width * scale) / 2, 0.0)
        val top = maxOf((pictureHeight - height * scale) / 2, 0.0)
        return Box(
            left.toFloat(),
            top.toFloat(),
            (pictureWidth - left).toFloat(),
            (pictureHeight - top).toFloat(),
        )
    }

    companion object {
        /** Far beyond any classifier's; a mistyped or damaged size must not ask for all memory. */
        const val LARGEST_SIDE = 4096
    }
}

/** A rectangle in pixels; its sides may fall between two of them. */
data class Box(val left: Float, val top: Float, val right: Float, val bottom: Float)
