"""matplotlib's drawings as SVG: colours are the page's (CSS variables), and text stays text."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

from vitconv.conversion.schemes import SCHEMES

# Stand-ins for the page's variables: matplotlib wants colours, the page has them in light and dark.
INK, MUTED, LINE, BAD, SURFACE, WARN = "#010101", "#020202", "#030303", "#040404", "#050505", "#070707"
COLOURS = {name: f"#06060{number}" for number, name in enumerate(SCHEMES)}
_VARIABLES = {
    INK: "ink", MUTED: "muted", LINE: "line", BAD: "bad", SURFACE: "surface", WARN: "warn",
    **{colour: f"s{number}" for number, colour in enumerate(COLOURS.values())},
}  # fmt: skip
_STYLE = {
    "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": 10, "text.color": INK,
    "axes.edgecolor": LINE, "axes.labelcolor": MUTED, "axes.linewidth": 0.8, "axes.grid": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.facecolor": "none",
    "grid.color": LINE, "grid.linewidth": 0.6, "xtick.color": MUTED, "ytick.color": MUTED,
    "legend.frameon": False, "figure.facecolor": "none", "savefig.facecolor": "none",
}  # fmt: skip


def svg(
    title: str,
    draw: Callable[[Any], None],
    height: float,
    width: float = 5.0,
    grid: tuple[int, int] | None = None,
) -> Markup:
    """`draw` gets the axes; where there is a grid, those of all its rows and columns."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.subplots(*grid, sharex=True, sharey=True) if grid else figure.add_subplot())
        figure.draw_without_rendering()  # the layout's own axes may have other ticks, and wider: it goes twice
        data = io.StringIO()
        figure.savefig(data, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = data.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"font: (?:(bold|\d{3}) )?([\d.]+)px [^;\"]*", _font, text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    for colour, name in _VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    text = re.sub(r"\n\s*", "\n", text)
    text = text.replace("<svg", f'<svg class="chart" role="img" aria-label="{escape(title)}"', 1)
    return Markup(text.replace(">", f"><title>{escape(title)}</title>", 1))


def _font(match: re.Match[str]) -> str:
    weight = f"font-weight: {match[1]}; " if match[1] else ""
    return f"{weight}font-size: {match[2]}px"


def plain(text: str) -> str:
    """A name of a file that may hold anything: characters that the figures' font has, and no formula."""
    return "".join(char if " " <= char <= "~" else "?" for char in text).replace("$", r"\$")


def short(name: str, most: int = 40) -> str:
    """So that a name leaves room for the figure."""
    return name if len(name) <= most else f"{name[: most - 3]}..."
