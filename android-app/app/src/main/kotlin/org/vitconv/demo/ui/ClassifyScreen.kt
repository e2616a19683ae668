package org.vitconv.demo.ui

import android.app.AlertDialog
import android.graphics.Bitmap
import android.graphics.drawable.BitmapDrawable
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.ImageView
import android.widget.TextView
import org.vitconv.classifier.BitmapPixels
import org.vitconv.core.screens.ClassifyState
import org.vitconv.core.screens.Reasons
import org.vitconv.core.screens.Seen
import org.vitconv.demo.MainActivity
import org.vitconv.demo.R

/** One picture and what the model says of it. */
class ClassifyScreen(activity: MainActivity, parent: ViewGroup) : Screen(activity, R.layout.classify, parent) {
    private val texts = Texts(activity)
    private val picture: ImageView = find(R.id.picture)
    private val hint: TextView = find(R.id.hint)
    private val message: TextView = find(R.id.message)
    private val timing: TextView = find(R.id.timing)
    private val toModels: Button = find(R.id.to_models)
    private val bars = Bars(find(R.id.bars), texts)
    private val wrongAnswers: View = find(R.id.wrong_answers_row)
    private val reasons = ReasonsView(view, texts)
    private val seen: View = find(R.id.seen)
    private var drawn: Seen? = null
    private var offered: List<Double>? = null

    override fun onShow() {
        find<Button>(R.id.gallery).setOnClickListener { activity.pickPicture() }
        find<Button>(R.id.camera).setOnClickListener { activity.takePicture() }
        toModels.setOnClickListener { activity.openModels() }
        screens.classify.again()
        follow(screens.classify.state, ::draw)
    }

    /** The user had to allow the camera first. Where Android no longer asks, nothing would be seen to happen. */
    override fun onPermission() {
        when {
            activity.mayUseCamera() -> activity.takePicture()
            !activity.mayAskForCameraAgain() ->
                AlertDialog.Builder(activity)
                    .setMessage(R.string.live_denied)
                    .setPositiveButton(R.string.live_settings) { _, _ -> activity.openSettings() }
                    .setNegativeButton(android.R.string.cancel, null)
                    .show()
        }
    }

    private fun draw(state: ClassifyState<BitmapPixels>) {
        val shown = when (state) {
            is ClassifyState.Working -> state.picture
            is ClassifyState.Answered -> state.picture
            is ClassifyState.BadModel -> state.picture
            else -> null
        }
        val answered = state as? ClassifyState.Answered
        val map = (answered?.reasons as? Reasons.Found)?.map
        picture.setImageBitmap(if (shown != null && map != null) reasons.drawn(shown.bitmap, map) else shown?.bitmap)
        picture.contentDescription = activity.getText(if (map == null) R.string.classify_picture else R.string.reasons_picture)
        picture.show(shown != null)
        hint.show(shown == null)
        val words: CharSequence? = when (state) {
            ClassifyState.Empty -> null
            is ClassifyState.Answered -> if (state.verdict.isNoneOfThese) activity.getText(R.string.none_of_these) else null
            ClassifyState.NoModel -> activity.getText(R.string.no_model)
            is ClassifyState.Working -> activity.getText(R.string.classify_working)
            is ClassifyState.BadPicture -> texts.problem(state.problem)
            is ClassifyState.BadModel -> texts.problem(state.name, state.problem)
        }
        message.text = words
        message.show(words != null)
        message.beError(state is ClassifyState.BadPicture || state is ClassifyState.BadModel)
        toModels.show(state == ClassifyState.NoModel || state is ClassifyState.BadModel)
        val verdict = answered?.verdict
        bars.draw(verdict?.best.orEmpty())
        drawSeen(verdict?.seen)
        reasons.draw(answered, screens.classify::explain, screens.classify::forgetReasons)
        offerErrorRates(verdict?.errorRates.orEmpty())
        timing.text = verdict?.let {
            val times = activity.getString(R.string.timing, texts.number(it.inferenceMs), texts.number(it.prepareMs))
            listOfNotNull(times, texts.runWith(it.options), it.change?.let { why -> texts.change(why, it.model) }).joinToString("\n")
        }
    }

    /** Small, but every pixel of it as it is. */
    private fun drawSeen(what: Seen?) {
        if (what == drawn) return
        drawn = what
        seen.show(what != null)
        val pixels = what?.pixels ?: return
        val row = IntArray(pixels.width)
        val bitmap = Bitmap.createBitmap(pixels.width, pixels.height, Bitmap.Config.ARGB_8888)
        for (y in 0 until pixels.height) {
            pixels.readRow(y, row)
            bitmap.setPixels(row, 0, pixels.width, 0, y, pixels.width, 1)
        }
        find<ImageView>(R.id.seen_picture).setImageDrawable(BitmapDrawable(activity.resources, bitmap).apply { isFilterBitmap = false })
        val words = if (what.isPart) R.string.seen_part else R.string.seen_whole
        find<TextView>(R.id.seen_text).text = activity.getString(words, pixels.width, pixels.height)
    }

    /** Offers the error rates that the model on the screen can promise; which is chosen holds for all models. */
    private fun offerErrorRates(rates: List<Double>) {
        wrongAnswers.show(rates.isNotEmpty())
        if (rates.isEmpty() || rates == offered) return
        offered = rates
        var chosen = screens.models.errorRate?.let { most -> rates.lastOrNull { it <= most + 1e-9 } }
        offer(R.id.wrong_answers, listOf(null) + rates, chosen, ::errorRate) {
            if (it != chosen) {
                chosen = it
                screens.models.answerWithin(it)
                screens.classify.again()
            }
        }
    }

    private fun errorRate(rate: Double?): String =
        if (rate == null) activity.getString(R.string.wrong_answers_any)
        else activity.getString(R.string.wrong_answers_most, texts.percent(rate))
}
