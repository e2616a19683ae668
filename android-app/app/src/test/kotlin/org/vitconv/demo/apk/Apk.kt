package org.vitconv.demo.apk

import com.android.apksig.internal.apk.AndroidBinXmlParser
import java.io.File
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
import java.util.zip.ZipFile

/** An entry of the APK: [offset] is where its content begins in the file. */
data class Entry(val name: String, val stored: Boolean, val offset: Long, val size: Long)

/** An element of the manifest with the attributes that are texts, numbers or booleans. */
data class Element(val name: String, val parent: String?, val attributes: Map<String, String>)

/** An APK as a file, for the checks. */
class Apk(val file: File) {
    val entries: List<Entry> = RandomAccessFile(file, "r").use { it.channel.map(FileChannel.MapMode.READ_ONLY, 0, it.length()) }
        .order(ByteOrder.LITTLE_ENDIAN).let(::readEntries)

    fun content(name: String): ByteBuffer = ZipFile(file).use { zip -> ByteBuffer.wrap(zip.getInputStream(zip.getEntry(name)).readBytes()) }

    fun manifest(): List<Element> = buildList {
        val parser = AndroidBinXmlParser(content("AndroidManifest.xml"))
        val path = mutableListOf<String>()
        while (parser.next() != AndroidBinXmlParser.EVENT_END_DOCUMENT) {
            when (parser.eventType) {
                AndroidBinXmlParser.EVENT_START_ELEMENT -> {
                    add(Element(parser.name, path.lastOrNull(), parser.attributes()))
                    path += parser.name
                }
                AndroidBinXmlParser.EVENT_END_ELEMENT -> path.removeLast()
            }
        }
    }

    private fun AndroidBinXmlParser.attributes(): Map<String, String> = (0 until attributeCount).associate { index ->
        getAttributeName(index) to when (getAttributeValueType(index)) {
            AndroidBinXmlParser.VALUE_TYPE_BOOLEAN -> getAttributeBooleanValue(index).toString()
            AndroidBinXmlParser.VALUE_TYPE_INT -> getAttributeIntValue(index).toString()
            else -> getAttributeStringValue(index)
        }
    }

    /** By the zip's central directory, whose layout PKWARE's APPNOTE gives in 4.3.12. */
    private fun readEntries(zip: ByteBuffer): List<Entry> {
        var end = zip.limit() - 22
        while (zip.getInt(end) != 0x06054b50) end--
        var at = zip.getInt(end + 16)
        return List(zip.getShort(end + 10).toInt()) {
            check(zip.getInt(at) == 0x02014b50) { "no central directory at $at" }
            val nameLength = zip.getShort(at + 28).toInt()
            val name = ByteArray(nameLength) { index -> zip.get(at + 46 + index) }.decodeToString()
            val local = zip.getInt(at + 42)
            val content = local + 30L + zip.getShort(local + 26) + zip.getShort(local + 28)
            val entry = Entry(name, zip.getShort(at + 10).toInt() == 0, content, zip.getInt(at + 20).toLong())
            at += 46 + nameLength + zip.getShort(at + 30) + zip.getShort(at + 32)
            entry
        }
    }
}
