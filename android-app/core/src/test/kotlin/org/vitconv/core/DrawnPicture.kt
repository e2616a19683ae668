package org.vitconv.core

/** 0xAARRGGBB, row by row, as `picture` of tests/android_fixtures.py draws it. */
fun drawnPicture(width: Int, height: Int): IntArray {
    var state = 12345L
    fun value(x: Int, y: Int, channel: Int): Int {
        state = (state * 1103515245L + 12345L) and 0x7FFFFFFF
        val gradient = listOf(255 * x / width, 255 * y / height, 255 * (x + y) / (width + height))[channel]
        return ((gradient + (state shr 16) % 128) % 256).toInt()
    }
    return IntArray(width * height) { pixel ->
        val (y, x) = pixel / width to pixel % width
        (255 shl 24) or (value(x, y, 0) shl 16) or (value(x, y, 1) shl 8) or value(x, y, 2)
    }
}
