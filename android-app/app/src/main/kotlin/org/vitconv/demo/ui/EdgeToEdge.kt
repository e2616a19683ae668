package org.vitconv.demo.ui

import android.view.View
import android.view.ViewGroup
import android.view.Window
import androidx.core.view.ViewCompat
import androidx.core.view.WindowCompat
import androidx.core.view.WindowInsetsCompat
import org.vitconv.demo.R

/** Draws behind the system's bars, and keeps what can be touched or read clear of them. */
object EdgeToEdge {
    /** [nav] reaches to the screen's edges itself; [root] holds all the rest. */
    fun apply(window: Window, root: View, nav: View, sideways: Boolean) {
        WindowCompat.setDecorFitsSystemWindows(window, false)
        // The theme says it of the status bar; of the buttons it can only since Android 8.1.
        WindowCompat.getInsetsController(window, root).isAppearanceLightNavigationBars = root.resources.getBoolean(R.bool.light)
        ViewCompat.setOnApplyWindowInsetsListener(root) { _, insets ->
            val bars = insets.getInsets(WindowInsetsCompat.Type.systemBars() or WindowInsetsCompat.Type.displayCutout())
            if (sideways) {
                val rtl = root.layoutDirection == View.LAYOUT_DIRECTION_RTL
                root.setPadding(if (rtl) bars.left else 0, 0, if (rtl) 0 else bars.right, 0)
                val outside = if (rtl) bars.right else bars.left
                nav.setPadding(if (rtl) 0 else outside, bars.top, if (rtl) outside else 0, bars.bottom)
                nav.layoutParams = nav.layoutParams.apply { width = root.resources.getDimensionPixelSize(R.dimen.rail) + outside }
                (nav.parent as ViewGroup).getChildAt(1).setPadding(0, bars.top, 0, bars.bottom)
            } else {
                root.setPadding(bars.left, bars.top, bars.right, 0)
                nav.setPadding(0, 0, 0, bars.bottom)
            }
            insets
        }
    }
}
