package org.vitconv.demo.ui

import android.view.TextureView
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.TextView
import kotlinx.coroutines.Job
import kotlinx.coroutines.launch
import org.vitconv.core.screens.LiveState
import org.vitconv.demo.DemoApplication
import org.vitconv.demo.MainActivity
import org.vitconv.demo.R
import org.vitconv.demo.camera.FrameCamera

/** The camera's view with what the model says of every frame. */
class LiveScreen(activity: MainActivity, parent: ViewGroup) : Screen(activity, R.layout.live, parent) {
    private val texts = Texts(activity)
    private val preview: TextureView = find(R.id.preview)
    private val messageCard: View = find(R.id.live_message_card)
    private val message: TextView = find(R.id.live_message)
    private val action: Button = find(R.id.live_action)
    private val card: View = find(R.id.live_card)
    private val timing: TextView = find(R.id.timing)
    private val bars = Bars(find(R.id.bars), texts)
    private var camera: FrameCamera? = null
    private var running: Job? = null

    override fun onShow() {
        follow(screens.live.state, ::draw)
        start(mayAsk = true)
    }

    override fun onHide() {
        camera?.close()
        camera = null
        running = null
    }

    override fun onPermission() = start(mayAsk = activity.mayAskForCameraAgain())

    private fun start(mayAsk: Boolean) {
        val granted = activity.mayUseCamera()
        screens.live.permission(granted, mayAsk)
        if (!granted || screens.models.selected == null || running?.isActive == true) return
        running = scope.launch {
            val opened = FrameCamera.open(activity, preview, (activity.application as DemoApplication)::cameraPictures)
            camera = opened
            opened?.frames { pixels -> screens.live.frame(pixels) }
            // There is none, or it was taken away.
            camera = null
            opened?.close()
            screens.live.noCamera()
        }
    }

    private fun draw(state: LiveState) {
        val words: CharSequence? = when (state) {
            LiveState.NeedsPermission -> activity.getText(R.string.live_permission)
            LiveState.Denied -> activity.getText(R.string.live_denied)
            LiveState.NoModel -> activity.getText(R.string.no_model)
            LiveState.Starting -> activity.getText(R.string.live_starting)
            LiveState.NoCamera -> activity.getText(R.string.live_no_camera)
            is LiveState.BadModel -> texts.problem(state.name, state.problem)
            is LiveState.Running -> null
        }
        message.text = words
        messageCard.show(words != null)
        view.keepScreenOn = state == LiveState.Starting || state is LiveState.Running
        val noModel = state == LiveState.NoModel || state is LiveState.BadModel
        message.beError(state == LiveState.NoCamera || state is LiveState.BadModel)
        action.show(state == LiveState.NeedsPermission || state == LiveState.Denied || state == LiveState.NoCamera || noModel)
        when (state) {
            LiveState.NoCamera -> {
                action.setText(R.string.live_retry)
                action.setOnClickListener { start(mayAsk = true) }
            }
            LiveState.NeedsPermission -> {
                action.setText(R.string.live_allow)
                action.setOnClickListener { activity.askForCamera() }
            }
            LiveState.Denied -> {
                action.setText(R.string.live_settings)
                action.setOnClickListener { activity.openSettings() }
            }
            LiveState.NoModel, is LiveState.BadModel -> {
                action.setText(R.string.open_models)
                action.setOnClickListener { activity.openModels() }
            }
            else -> Unit
        }
        val frame = state as? LiveState.Running
        card.show(frame != null)
        if (frame != null) {
            bars.draw(frame.verdict.best.take(activity.resources.getInteger(R.integer.live_classes)))
            val verdict = frame.verdict
            val speed = frame.framesPerSecond.takeIf { it > 0 }?.let { texts.number(it) } // the first frame has none
            val ms = texts.number(verdict.inferenceMs)
            val times = if (speed == null) activity.getString(R.string.ms, ms) else activity.getString(R.string.live_timing, ms, speed)
            val change = verdict.change?.let { texts.change(it, verdict.model) }
            val unsure = if (verdict.isNoneOfThese) activity.getString(R.string.none_of_these) else null
            timing.text = listOfNotNull(unsure, times, texts.runWith(verdict.options), change).joinToString("\n")
        }
    }
}
