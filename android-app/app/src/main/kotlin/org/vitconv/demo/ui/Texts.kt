package org.vitconv.demo.ui

import android.content.Context
import org.vitconv.core.Accelerator
import org.vitconv.core.CheckProblem
import org.vitconv.core.FileTitle
import org.vitconv.core.ModelProblem
import org.vitconv.core.RunOptions
import org.vitconv.core.screens.PictureProblem
import org.vitconv.core.screens.Plan
import org.vitconv.demo.R
import java.text.NumberFormat

/** What the screens say of figures and problems, in the user's language. */
class Texts(private val context: Context) {
    private val locale get() = context.resources.configuration.locales[0]

    fun percent(fraction: Double): String =
        NumberFormat.getPercentInstance(locale).apply {
            minimumFractionDigits = 1
            maximumFractionDigits = 1
        }.format(fraction)

    /** With [digits] digits after the point. */
    fun number(value: Double, digits: Int = 1): String = NumberFormat.getNumberInstance(locale).apply {
        minimumFractionDigits = digits
        maximumFractionDigits = digits
    }.format(value)

    fun ms(value: Double): String = context.getString(R.string.ms, number(value, if (value < 10) 2 else 1))

    fun mb(value: Double?): String =
        if (value == null) context.getString(R.string.unknown) else context.getString(R.string.mb, number(value))

    fun megabytes(bytes: Long): String = context.getString(R.string.models_size, number(bytes / 1e6, 2))

    fun accelerator(accelerator: Accelerator): String = context.getString(
        when (accelerator) {
            Accelerator.CPU -> R.string.accelerator_cpu
            Accelerator.XNNPACK -> R.string.accelerator_xnnpack
            Accelerator.GPU -> R.string.accelerator_gpu
            Accelerator.NNAPI -> R.string.accelerator_nnapi
        },
    )

    fun runWith(options: RunOptions): String = when (options.accelerator) {
        Accelerator.CPU, Accelerator.XNNPACK ->
            accelerator(options.accelerator) + " · " +
                context.resources.getQuantityString(R.plurals.threads, options.threads, options.threads)
        Accelerator.GPU, Accelerator.NNAPI -> accelerator(options.accelerator)
    }

    /** Why the file [name] runs as it does, and not what was chosen. */
    fun change(change: Plan.Change, name: String): String = context.getString(
        when (change) {
            Plan.Change.GPU_FILE -> R.string.change_gpu_file
            Plan.Change.REFUSED_ON_GPU -> R.string.change_refused_on_gpu
        },
        FileTitle.of(name).whole,
    )

    /** One of Android's thermal statuses. */
    fun heat(status: String): String = when (status) {
        "none" -> context.getString(R.string.heat_none)
        "light" -> context.getString(R.string.heat_light)
        "moderate" -> context.getString(R.string.heat_moderate)
        "severe" -> context.getString(R.string.heat_severe)
        "critical" -> context.getString(R.string.heat_critical)
        "emergency" -> context.getString(R.string.heat_emergency)
        "shutdown" -> context.getString(R.string.heat_shutdown)
        else -> status
    }

    /** Why a file fails the self-test. */
    fun problem(problem: CheckProblem): String = when (problem) {
        CheckProblem.NoImages -> context.getString(R.string.check_no_images)
        is CheckProblem.NotFinite -> context.getString(R.string.check_not_finite, problem.count, problem.images)
        is CheckProblem.Agreement ->
            context.getString(R.string.check_agreement, percent(problem.fraction), percent(problem.limit))
        is CheckProblem.Error ->
            context.getString(R.string.check_error, CheckProblem.short(problem.error), CheckProblem.short(problem.limit))
        is CheckProblem.Model -> problem(problem.problem)
    }

    fun problem(problem: PictureProblem): String = context.getString(
        when (problem) {
            PictureProblem.CannotOpen -> R.string.picture_cannot_open
            PictureProblem.NotAPicture -> R.string.picture_broken
            PictureProblem.TooLarge -> R.string.picture_too_large
        },
    )

    /** Why the file [name] cannot be used. */
    fun problem(name: String, problem: ModelProblem): String = context.getString(R.string.model_failed, FileTitle.of(name).whole, problem(problem))

    fun problem(problem: ModelProblem): String = when (problem) {
        ModelProblem.NotAModel -> context.getString(R.string.problem_not_a_model)
        is ModelProblem.TooLarge -> context.getString(R.string.problem_too_large, number(problem.limit / 1e6, 0))
        is ModelProblem.Tensors -> context.getString(R.string.problem_tensors, problem.inputs, problem.outputs)
        is ModelProblem.InputShape -> context.getString(R.string.problem_input, problem.shape.toString())
        is ModelProblem.OutputShape -> context.getString(R.string.problem_output, problem.shape.toString())
        is ModelProblem.Type -> context.getString(R.string.problem_type, problem.what)
        ModelProblem.NoMetadata -> context.getString(R.string.problem_no_metadata)
        ModelProblem.NoLabels -> context.getString(R.string.problem_no_labels)
        is ModelProblem.Labels -> context.getString(R.string.problem_labels, problem.labels, problem.classes)
        ModelProblem.NoNormalization -> context.getString(R.string.problem_no_normalization)
        ModelProblem.WrongNormalization -> context.getString(R.string.problem_wrong_normalization)
        is ModelProblem.NoAccelerator ->
            context.getString(R.string.problem_no_accelerator, accelerator(problem.accelerator))
        is ModelProblem.Metadata -> context.getString(R.string.problem_metadata, problem.detail)
        is ModelProblem.Refused -> context.getString(R.string.problem_refused, problem.detail)
        is ModelProblem.Unreadable -> context.getString(R.string.problem_unreadable, problem.detail)
    }
}
