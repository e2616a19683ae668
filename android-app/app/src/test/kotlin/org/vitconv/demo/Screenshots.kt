package org.vitconv.demo

import android.app.Activity
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Insets
import android.graphics.Paint
import android.graphics.Path
import android.graphics.Rect
import android.os.Build
import android.view.Gravity
import android.view.View
import android.view.WindowInsets
import android.view.WindowInsetsController
import android.view.WindowManager
import android.view.inspector.WindowInspector
import java.io.File
import kotlin.math.abs

/** What the system puts over an edge-to-edge app: bars, and a cut-out. In pixels. */
class SystemBars(val bars: Insets, val cutout: Insets = Insets.NONE) {
    fun insets(): WindowInsets = WindowInsets.Builder()
        .setInsets(WindowInsets.Type.statusBars(), Insets.of(0, bars.top, 0, 0))
        .setInsets(WindowInsets.Type.navigationBars(), Insets.of(bars.left, 0, bars.right, bars.bottom))
        .setInsets(WindowInsets.Type.displayCutout(), cutout)
        .build()

    /** A clock, the three buttons, and the camera's hole, in the colours that the window asked for. */
    @Suppress("DEPRECATION") // what themes still set
    fun draw(canvas: Canvas, decor: View) {
        val paint = Paint(Paint.ANTI_ALIAS_FLAG)
        val dp = decor.resources.displayMetrics.density
        paint.color = colour(decor, WindowInsetsController.APPEARANCE_LIGHT_STATUS_BARS, View.SYSTEM_UI_FLAG_LIGHT_STATUS_BAR)
        paint.textSize = 14 * dp
        canvas.drawText("9:30", bars.left + cutout.left + 16 * dp, bars.top / 2f + 5 * dp, paint)
        val right = decor.width - bars.right - 16 * dp
        canvas.drawRect(right - 8 * dp, bars.top / 2f - 6 * dp, right, bars.top / 2f + 6 * dp, paint)
        paint.color = Color.BLACK
        if (cutout.top > 0) canvas.drawCircle(decor.width / 2f, cutout.top / 2f, 10 * dp, paint)
        if (cutout.left > 0) canvas.drawCircle(cutout.left / 2f, decor.height / 2f, 10 * dp, paint)
        paint.color = colour(decor, WindowInsetsController.APPEARANCE_LIGHT_NAVIGATION_BARS, View.SYSTEM_UI_FLAG_LIGHT_NAVIGATION_BAR)
        paint.style = Paint.Style.STROKE
        paint.strokeWidth = 2 * dp
        for (place in 1..3) {
            if (bars.bottom > 0) button(canvas, paint, place, decor.width * place / 4f, decor.height - bars.bottom / 2f, dp)
            if (bars.right > 0) button(canvas, paint, 4 - place, decor.width - bars.right / 2f, decor.height * place / 4f, dp)
            if (bars.left > 0) button(canvas, paint, 4 - place, bars.left / 2f, decor.height * place / 4f, dp)
        }
    }

    private fun button(canvas: Canvas, paint: Paint, place: Int, x: Float, y: Float, dp: Float) = when (place) {
        1 -> canvas.drawPath(
            Path().apply {
                moveTo(x + 6 * dp, y - 7 * dp)
                lineTo(x - 6 * dp, y)
                lineTo(x + 6 * dp, y + 7 * dp)
                close()
            },
            paint,
        )
        2 -> canvas.drawCircle(x, y, 7 * dp, paint)
        else -> canvas.drawRect(x - 6 * dp, y - 6 * dp, x + 6 * dp, y + 6 * dp, paint)
    }

    @Suppress("DEPRECATION") // what themes still set
    private fun colour(decor: View, appearance: Int, flag: Int): Int {
        val controlled = decor.windowInsetsController?.systemBarsAppearance ?: 0
        val dark = controlled and appearance != 0 || decor.systemUiVisibility and flag != 0
        return if (dark) 0xFF202020.toInt() else Color.WHITE
    }

    companion object {
        /** Three buttons, and a status bar as high as the camera's hole. */
        fun upright(dp: Float) = SystemBars(pixels(dp, 0, 40, 0, 48), pixels(dp, 0, 40, 0, 0))

        /** The same device on its side: the hole on the left. */
        fun sideways(dp: Float) = SystemBars(pixels(dp, 0, 24, 48, 0), pixels(dp, 40, 0, 0, 0))

        fun tablet(dp: Float) = SystemBars(pixels(dp, 0, 24, 0, 48))

        private fun pixels(dp: Float, vararg edges: Int) = edges.map { (it * dp).toInt() }.let { (l, t, r, b) -> Insets.of(l, t, r, b) }
    }
}

/** Draws an activity with its dialogs and menus, and compares it with the picture that is kept, a pixel a dp. */
object Screenshots {
    /** Two drawings of the same screen never differed here; another system may smooth letters otherwise. */
    private const val STEP = 40
    private const val SHARE = 1e-4

    private val kept = File(System.getProperty("vitconv.screens") ?: "src/test/screens")
    private val drawn = File(System.getProperty("vitconv.screenshots") ?: "target/screenshots")

    fun draw(activity: Activity, bars: SystemBars?): Bitmap {
        val decor = activity.window.decorView
        val bitmap = Bitmap.createBitmap(decor.width, decor.height, Bitmap.Config.ARGB_8888)
        val canvas = Canvas(bitmap)
        decor.draw(canvas)
        for (window in windowsAbove(decor)) {
            val where = window.layoutParams as WindowManager.LayoutParams
            if (where.flags and WindowManager.LayoutParams.FLAG_DIM_BEHIND != 0) {
                canvas.drawColor(Color.argb((where.dimAmount * 255).toInt(), 0, 0, 0))
            }
            val place = Rect()
            Gravity.apply(where.gravity, window.width, window.height, Rect(0, 0, decor.width, decor.height), where.x, where.y, place)
            canvas.save()
            canvas.translate(place.left.toFloat(), place.top.toFloat())
            window.draw(canvas)
            canvas.restore()
        }
        bars?.draw(canvas, decor)
        val dp = decor.resources.displayMetrics.density
        return Bitmap.createScaledBitmap(bitmap, (decor.width / dp).toInt(), (decor.height / dp).toInt(), true)
    }

    private fun windowsAbove(decor: View): List<View> {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) return emptyList()
        return WindowInspector.getGlobalWindowViews().dropWhile { it != decor }.drop(1)
    }

    /** Throws where [picture] is not the one kept as [name]. With -Dscreens.keep=true it is kept from now on. */
    fun check(name: String, picture: Bitmap) {
        val keep = System.getProperty("vitconv.screens.keep") == "true"
        val file = File(if (keep) kept else drawn, "$name.webp")
        file.parentFile?.mkdirs()
        file.outputStream().use { picture.compress(Bitmap.CompressFormat.WEBP_LOSSY, 80, it) }
        if (keep) return
        val before = BitmapFactory.decodeFile(File(kept, "$name.webp").path)
            ?: throw AssertionError("no picture of $name is kept; look at $file and keep it with -Dscreens.keep=true")
        // Both went through the same compression.
        val share = difference(before, BitmapFactory.decodeFile(file.path))
        if (share > SHARE) {
            throw AssertionError("$name has changed in ${share * 100} % of its pixels; look at $file and keep it with -Dscreens.keep=true")
        }
    }

    /** The share of pixels that are another colour. */
    fun difference(one: Bitmap, other: Bitmap): Double {
        if (one.width != other.width || one.height != other.height) return 1.0
        fun pixels(bitmap: Bitmap) = IntArray(bitmap.width * bitmap.height)
            .also { bitmap.getPixels(it, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height) }
        val pairs = pixels(one).zip(pixels(other))
        return pairs.count { (a, b) -> listOf(0, 8, 16).any { abs((a shr it and 255) - (b shr it and 255)) > STEP } } / pairs.size.toDouble()
    }
}
