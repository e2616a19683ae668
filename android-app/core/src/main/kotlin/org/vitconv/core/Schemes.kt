package org.vitconv.core

private val schemes = listOf("float32", "float16", "dynamic", "int8", "int8-hybrid")

/** `mobilevit_xxs-tf_flowers-int8-hybrid.tflite` → `int8-hybrid`; null where the name ends in no scheme. */
fun schemeOf(path: String): String? = schemes.firstOrNull { path.removeSuffix(".tflite").endsWith("-$it") }
