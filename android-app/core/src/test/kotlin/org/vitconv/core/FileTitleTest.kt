package org.vitconv.core

import org.junit.Assert.assertEquals
import org.junit.Test

class FileTitleTest {
    @Test
    fun `an export's file is called by its scheme, and its model and data set are said once`() {
        assertEquals(FileTitle("mobilevit_xxs · tf_flowers", "int8"), FileTitle.of("mobilevit_xxs-tf_flowers-int8.tflite"))
        assertEquals(FileTitle("mobilevit_xxs · tf_flowers", "int8-hybrid"), FileTitle.of("mobilevit_xxs-tf_flowers-int8-hybrid.tflite"))
        assertEquals(FileTitle("eanet · my-own-photos", "float32"), FileTitle.of("eanet-my-own-photos-float32.tflite"))
        assertEquals("mobilevit_xxs · tf_flowers · int8", FileTitle.of("mobilevit_xxs-tf_flowers-int8.tflite").whole)
    }

    @Test
    fun `a file whose name ends in no scheme keeps its name`() {
        assertEquals(FileTitle(null, "my-model"), FileTitle.of("my-model.tflite"))
        assertEquals("my-model", FileTitle.of("my-model.tflite").whole)
    }
}
