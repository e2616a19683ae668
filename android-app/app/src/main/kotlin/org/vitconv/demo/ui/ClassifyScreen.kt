package org.vitconv.demo.ui

import android.app.AlertDialog
import android.content.Intent
import android.os.Build
import android.provider.MediaStore
import android.view.ViewGroup
import android.widget.Button
import android.widget.ImageView
import android.widget.TextView
import org.vitconv.classifier.BitmapPixels
import org.vitconv.core.screens.ClassifyState
import org.vitconv.demo.MainActivity
import org.vitconv.demo.R
import org.vitconv.demo.picture.CaptureProvider

/** One picture and what the model says of it. */
class ClassifyScreen(activity: MainActivity, parent: ViewGroup) : Screen(activity, R.layout.classify, parent) {
    private val texts = Texts(activity)
    private val picture: ImageView = find(R.id.picture)
    private val hint: TextView = find(R.id.hint)
    private val message: TextView = find(R.id.message)
    private val timing: TextView = find(R.id.timing)
    private val toModels: Button = find(R.id.to_models)
    private val bars = Bars(find(R.id.bars), texts)

    override fun onShow() {
        find<Button>(R.id.gallery).setOnClickListener { activity.startForResult(gallery(), PICKED) }
        find<Button>(R.id.camera).setOnClickListener { takePicture() }
        toModels.setOnClickListener { activity.openModels() }
        screens.classify.again()
        follow(screens.classify.state, ::draw)
    }

    override fun onResult(request: Int, data: Intent?) {
        when (request) {
            PICKED -> data?.data?.let(activity::classify)
            TAKEN -> activity.classify(CaptureProvider.uri(activity))
        }
    }

    /** The user had to allow the camera first. Where Android no longer asks, nothing would be seen to happen. */
    override fun onPermission() {
        when {
            activity.mayUseCamera() -> takePicture()
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
        picture.setImageBitmap(shown?.bitmap)
        picture.show(shown != null)
        hint.show(shown == null)
        val words: CharSequence? = when (state) {
            ClassifyState.Empty, is ClassifyState.Answered -> null
            ClassifyState.NoModel -> activity.getText(R.string.no_model)
            is ClassifyState.Working -> activity.getText(R.string.classify_working)
            is ClassifyState.BadPicture -> texts.problem(state.problem)
            is ClassifyState.BadModel -> texts.problem(state.name, state.problem)
        }
        message.text = words
        message.show(words != null)
        message.beError(state is ClassifyState.BadPicture || state is ClassifyState.BadModel)
        toModels.show(state == ClassifyState.NoModel || state is ClassifyState.BadModel)
        val verdict = (state as? ClassifyState.Answered)?.verdict
        bars.draw(verdict?.best.orEmpty())
        timing.text = verdict?.let {
            val times = activity.getString(R.string.timing, texts.number(it.inferenceMs), texts.number(it.prepareMs))
            listOfNotNull(times, texts.runWith(it.options), it.change?.let { why -> texts.change(why, it.model) }).joinToString("\n")
        }
    }

    private fun gallery(): Intent =
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) {
            // The system's own picker: the app sees what is chosen and nothing else.
            Intent("android.provider.action.PICK_IMAGES").setType("image/*")
        } else {
            Intent(Intent.ACTION_GET_CONTENT).setType("image/*").addCategory(Intent.CATEGORY_OPENABLE)
        }

    /** An app that declares the camera's permission must hold it, to ask even another app for a picture. */
    private fun takePicture() {
        if (!activity.mayUseCamera()) return activity.askForCamera()
        val uri = CaptureProvider.uri(activity)
        val intent = Intent(MediaStore.ACTION_IMAGE_CAPTURE)
            .putExtra(MediaStore.EXTRA_OUTPUT, uri)
            .addFlags(Intent.FLAG_GRANT_WRITE_URI_PERMISSION or Intent.FLAG_GRANT_READ_URI_PERMISSION)
        intent.clipData = android.content.ClipData.newRawUri(null, uri)
        activity.startForResult(intent, TAKEN)
    }

    private companion object {
        const val PICKED = 1
        const val TAKEN = 2
    }
}
