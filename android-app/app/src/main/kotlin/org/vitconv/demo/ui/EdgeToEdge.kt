package org.vitconv.demo.ui

import android.annotation.TargetApi
import android.os.Build
import android.view.View
import android.view.ViewGroup
import android.view.Window
import android.view.WindowInsets
import android.view.WindowInsetsController
import org.vitconv.demo.R

/** Draws behind the system's bars, and keeps what can be touched or read clear of them. */
object EdgeToEdge {
    /** [nav] reaches to the screen's edges itself; [root] holds all the rest. */
    fun apply(window: Window, root: View, nav: View, sideways: Boolean) {
        val light = root.resources.getBoolean(R.bool.light)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) drawBehindBars(window, light) else drawBehindBarsBefore11(window, light)
        root.setOnApplyWindowInsetsListener { _, insets ->
            val since11 = Build.VERSION.SDK_INT >= Build.VERSION_CODES.R
            val (left, top, right, bottom) = if (since11) bars(insets) else barsBefore11(insets)
            if (sideways) {
                val rtl = root.layoutDirection == View.LAYOUT_DIRECTION_RTL
                root.setPadding(if (rtl) left else 0, 0, if (rtl) 0 else right, 0)
                val outside = if (rtl) right else left
                nav.setPadding(if (rtl) 0 else outside, top, if (rtl) outside else 0, bottom)
                nav.layoutParams = nav.layoutParams.apply { width = root.resources.getDimensionPixelSize(R.dimen.rail) + outside }
                (nav.parent as ViewGroup).getChildAt(1).setPadding(0, top, 0, bottom)
            } else {
                root.setPadding(left, top, right, 0)
                nav.setPadding(0, 0, 0, bottom)
            }
            insets
        }
    }

    @TargetApi(Build.VERSION_CODES.R)
    private fun drawBehindBars(window: Window, light: Boolean) {
        window.setDecorFitsSystemWindows(false)
        // The theme says it of the status bar; of the buttons it can only since Android 8.1.
        val dark = WindowInsetsController.APPEARANCE_LIGHT_NAVIGATION_BARS
        window.insetsController?.setSystemBarsAppearance(if (light) dark else 0, dark)
    }

    @TargetApi(Build.VERSION_CODES.R)
    private fun bars(insets: WindowInsets): List<Int> {
        val bars = insets.getInsets(WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout())
        return listOf(bars.left, bars.top, bars.right, bars.bottom)
    }

    @Suppress("DEPRECATION") // replaced in Android 11
    private fun drawBehindBarsBefore11(window: Window, light: Boolean) {
        window.decorView.systemUiVisibility = window.decorView.systemUiVisibility or
            View.SYSTEM_UI_FLAG_LAYOUT_STABLE or
            View.SYSTEM_UI_FLAG_LAYOUT_FULLSCREEN or
            View.SYSTEM_UI_FLAG_LAYOUT_HIDE_NAVIGATION or
            if (light) View.SYSTEM_UI_FLAG_LIGHT_NAVIGATION_BAR else 0
    }

    @Suppress("DEPRECATION") // replaced in Android 11
    private fun barsBefore11(insets: WindowInsets): List<Int> = listOf(
        insets.systemWindowInsetLeft,
        insets.systemWindowInsetTop,
        insets.systemWindowInsetRight,
        insets.systemWindowInsetBottom,
    )
}
