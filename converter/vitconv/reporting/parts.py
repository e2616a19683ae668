"""Pieces of a page. Every text becomes HTML here and nowhere else: what is no `Html` yet is escaped."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape

from vitconv.foundation.text import printable, visible


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Text = str  # plain text, or Html

_LISTED = 12  # rows of a long table that are seen at once


def html(text: Text) -> Html:
    """Escaped, with `commands` in backquotes as code; control characters are replaced."""
    if isinstance(text, Html):
        return text
    return Html(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(printable(text))))


def exact(text: str) -> Html:
    """Escaped, and nothing else: for names."""
    return Html(escape(visible(text)))


def tag(name: str, content: Text = "", css: str = "", **attributes: str) -> Html:
    if css:
        attributes = {"class": css, **attributes}
    listed = "".join(f' {key.replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{listed}>{html(content)}</{name}>")


def join(parts: Iterable[Text], between: str = "") -> Html:
    return Html(between.join(map(html, parts)))


def table(header: Sequence[str], rows: Iterable[Sequence[Text]], css: str = "", marked: int = -1) -> Html:
    """The first column names the row. On a narrow page each row is a block of its own, its cells behind their
    column's name."""
    head = join(tag("th", name, scope="col") for name in header)
    lines = []
    for number, row in enumerate(rows):
        cells = [tag("th", row[0], scope="row")]
        cells += [
            tag("td", cell, data_label=name, **({} if html(cell) else {"class": "empty"}))
            for name, cell in zip(header[1:], row[1:], strict=True)
        ]
        lines.append(tag("tr", join(cells), "marked" if number == marked else ""))
    whole = tag("table", join([tag("thead", tag("tr", head)), tag("tbody", join(lines, "\n"))]), css)
    return tag("div", whole, "scroll") if css == "compact" else whole


def long_table(
    header: Sequence[str], rows: Sequence[Sequence[Text]], more: str = "more", marked: int = -1
) -> Html:
    """The first rows; the others, "7 more" of them, can be opened."""
    first, others = rows[:_LISTED], rows[_LISTED:]
    shown = [table(header, first, "compact", marked)]
    if others:
        shown.append(details(f"{len(others)} {more}", table(header, others, "compact")))
    return join(shown)


def bar(share: float, css: str = "", start: float = 0.0, label: str = "") -> Html:
    """A part of a line from `start`, both 0 to 1."""
    left, width = (100 * min(max(value, 0.0), 1.0) for value in (start, share))
    inner = f'<i style="left:{left:.2f}%;width:{min(width, 100 - left):.2f}%"></i>'
    return tag("span", Html(inner), f"bar {css}".strip(), role="img", aria_label=label or f"{share:.0%}")


def picture(data: bytes, alt: str, css: str = "") -> Html:
    encoded = base64.b64encode(data).decode()
    kind = f' class="{css}"' if css else ""
    return Html(f'<img{kind} src="data:image/png;base64,{encoded}" alt="{escape(alt)}">')


def details(summary: Text, content: Text) -> Html:
    return tag("details", join([tag("summary", summary), html(content)]))


def section(identity: str, title: str, *content: Text) -> Html:
    return tag("section", join([tag("h2", title), *content], "\n"), id=identity)


def paragraph(text: Text, css: str = "") -> Html:
    return tag("p", text, css)


def figure(svg: str, caption: Text) -> Html:
    return tag("figure", join([Html(svg), tag("figcaption", caption)]))


def digest(value: str) -> Html:
    return tag("code", value[:16], title=value)
