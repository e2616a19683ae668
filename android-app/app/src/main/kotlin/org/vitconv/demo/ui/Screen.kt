package org.vitconv.demo.ui

import android.annotation.TargetApi
import android.os.Build
import android.view.View
import android.view.ViewGroup
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Spinner
import android.widget.TextView
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.launch
import org.vitconv.demo.MainActivity
import org.vitconv.demo.R
import org.vitconv.demo.Screens

/** The tabs, in their order. [isOfOneModel] where what is shown is the selected model's. */
enum class Tab(val button: Int, val title: Int, val isOfOneModel: Boolean) {
    CLASSIFY(R.id.nav_classify, R.string.nav_classify, true),
    LIVE(R.id.nav_live, R.string.nav_live, true),
    MODELS(R.id.nav_models, R.string.nav_models, false),
    SELF_TEST(R.id.nav_selftest, R.string.nav_selftest, false),
    BENCHMARK(R.id.nav_benchmark, R.string.nav_benchmark, true),
}

/** What one tab shows: a view that follows a state, from when it is shown until it is hidden. */
abstract class Screen(protected val activity: MainActivity, layout: Int, parent: ViewGroup) {
    val view: View = activity.layoutInflater.inflate(layout, parent, false)
    protected val screens: Screens get() = activity.screens
    protected lateinit var scope: CoroutineScope
        private set

    /** Starts following the state; [scope] ends when the screen is hidden. */
    fun show(scope: CoroutineScope) {
        this.scope = scope
        onShow()
    }

    protected abstract fun onShow()

    /** The screen is hidden, or the app goes to the background. */
    open fun onHide() = Unit

    /** The user answered a question for a permission. */
    open fun onPermission() = Unit

    protected fun <T> follow(flow: Flow<T>, draw: (T) -> Unit) {
        scope.launch { flow.collect { draw(it) } }
    }

    @TargetApi(Build.VERSION_CODES.P)
    private fun beHeading(view: View) {
        view.isAccessibilityHeading = true
    }

    protected fun <V : View> find(id: Int): V = view.findViewById(id)

    /** Lets the user choose one of [values], which are shown by their [name]. */
    protected fun <T> offer(spinner: Int, values: List<T>, chosen: T, name: (T) -> String, choose: (T) -> Unit) {
        find<Spinner>(spinner).apply {
            adapter = ArrayAdapter(activity, R.layout.choice, values.map(name)).apply {
                setDropDownViewResource(R.layout.choice_offered)
            }
            setSelection(values.indexOf(chosen).coerceAtLeast(0))
            onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
                override fun onItemSelected(parent: AdapterView<*>?, view: View?, position: Int, id: Long) = choose(values[position])

                override fun onNothingSelected(parent: AdapterView<*>?) = Unit
            }
        }
    }

    /** Above rows that have [text] in common. */
    protected fun heading(text: String): View = TextView(activity, null, 0, R.style.Text_Small).apply {
        this.text = text
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) beHeading(this)
        setPaddingRelative(0, resources.getDimensionPixelSize(R.dimen.gap_small), 0, 0)
    }
}

/** Puts a sign before the text that says that something went wrong, so that colour is not all that tells. */
fun TextView.beError(error: Boolean) {
    compoundDrawablePadding = resources.getDimensionPixelSize(R.dimen.gap_small)
    setCompoundDrawablesRelativeWithIntrinsicBounds(if (error) R.drawable.error else 0, 0, 0, 0)
}

fun View.show(visible: Boolean) {
    visibility = if (visible) View.VISIBLE else View.GONE
}
