package org.vitconv.demo

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.vitconv.core.Accelerator
import org.vitconv.core.CheckProblem
import org.vitconv.core.ModelProblem
import org.vitconv.core.RunOptions
import org.vitconv.core.screens.PictureProblem
import org.vitconv.core.screens.Plan
import org.vitconv.demo.ui.Texts

/** Whatever is wrong, the user reads it in a sentence of its own, in each language. */
class TextsTest : ScreenTests() {
    private val models = listOf(
        ModelProblem.NotAModel, ModelProblem.TooLarge(600_000_000, 512_000_000), ModelProblem.Tensors(2, 3),
        ModelProblem.InputShape(listOf(1, 8, 8)), ModelProblem.OutputShape(listOf(1, 2, 5)), ModelProblem.Type("int64"),
        ModelProblem.NoMetadata, ModelProblem.NoLabels, ModelProblem.Labels(3, 4), ModelProblem.NoNormalization,
        ModelProblem.WrongNormalization, ModelProblem.NoAccelerator(Accelerator.GPU), ModelProblem.Metadata("77"),
        ModelProblem.Refused("88"), ModelProblem.Unreadable("99"),
    )
    private val checks = listOf(
        CheckProblem.NoImages, CheckProblem.NotFinite(1, 8), CheckProblem.Agreement(0.5, 0.9), CheckProblem.Error(0.1, 0.01),
        CheckProblem.Model(ModelProblem.Refused("55")),
    )
    private val heats = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")

    private fun sentences(): List<String> {
        val texts = Texts(activity)
        return models.map { texts.problem(it) } + checks.map { texts.problem(it) } + heats.map { texts.heat(it) } +
            listOf(PictureProblem.CannotOpen, PictureProblem.NotAPicture, PictureProblem.TooLarge).map { texts.problem(it) } +
            Plan.Change.entries.map { texts.change(it, "a-flowers-int8.tflite") } +
            Accelerator.entries.map { texts.runWith(RunOptions(2, it)) } + texts.mb(null) + texts.mb(1.5)
    }

    @Test
    fun `each in English and in Chinese, with what was seen`() {
        launch()
        val english = sentences()
        launch(qualifiers = "+zh")
        val chinese = sentences()
        for (all in listOf(english, chinese)) {
            assertEquals(all.size, all.toSet().size)
            assertFalse("$all", all.any { it.isBlank() || '%' in it.replace(Regex("[0-9]%"), "") })
            for (seen in listOf("512", "[1, 8, 8]", "[1, 2, 5]", "int64", "77", "88", "99", "55", "90.0%", "0.01")) {
                assertTrue("$seen in $all", all.any { seen in it })
            }
        }
        val words = Regex("[A-Za-z]{2,} [a-z]{2,}")
        assertEquals(emptyList<String>(), chinese.filter { words.containsMatchIn(it) })
        assertTrue("$english", english.filter { words.containsMatchIn(it) }.size > 20)
    }

    @Test
    fun `a thermal status that Android knows later is told as it is`() {
        launch()
        assertEquals("molten", Texts(activity).heat("molten"))
    }
}
