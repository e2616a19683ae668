package org.vitconv.core

/**
 * How a file is called on the screen: what it has in [common] with the other files of its export, and its [own] name among
 * them, the scheme. `mobilevit_xxs-tf_flowers-int8.tflite` → `mobilevit_xxs · tf_flowers` and `int8`. A file whose name
 * ends in no scheme has only a name of its own.
 */
data class FileTitle(val common: String?, val own: String) {
    /** Where the file stands alone. It can be broken into lines at its points, and nowhere within a name. */
    val whole get() = if (common == null) own else "$common · $own"

    companion object {
        fun of(path: String): FileTitle {
            val name = path.removeSuffix(".tflite")
            val scheme = schemeOf(path) ?: return FileTitle(null, name)
            return FileTitle(name.removeSuffix("-$scheme").replaceFirst("-", " · "), scheme)
        }
    }
}
