package org.vitconv.core

import kotlinx.serialization.Serializable
import java.io.File
import java.util.Base64

/** camera.json: one picture as a PNG, as camera frames, and as what the converter makes of it for models. */
@Serializable
data class CameraFixtures(private val png: String, val inputs: List<Input>, val frames: List<Frame>) {
    val file: ByteArray get() = decoded(png)

    @Serializable
    data class Input(val image: ImageSpec, private val expected: String) {
        /** The largest of any value of [rgb]. */
        fun difference(rgb: ByteArray): Int {
            val wanted = decoded(expected)
            check(wanted.size == rgb.size)
            return wanted.indices.maxOf { Math.abs((wanted[it].toInt() and 255) - (rgb[it].toInt() and 255)) }
        }
    }

    /** As the sensor lies; [upright] sets it upright. */
    @Serializable
    data class Frame(val orientation: Int, val width: Int, val height: Int, private val y: String, private val u: String, private val v: String) {
        val upright get() = Orientation.ofExif(orientation)
        val luma get() = decoded(y)
        val blue get() = decoded(u)
        val red get() = decoded(v)
    }

    companion object {
        private fun decoded(text: String): ByteArray = Base64.getDecoder().decode(text)

        /** From this module's folder or from one beside it. */
        fun read(): CameraFixtures =
            Documents.decodeFromString(serializer(), File("../core/src/test/resources/camera.json").readText())
    }
}
