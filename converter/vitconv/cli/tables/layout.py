"""How text lies on a terminal: tables, and paragraphs broken at words. rich draws and measures them.

`width` is how many columns there are. No number is ever cut: where a table is wider, its columns go into blocks
below one another, or each row becomes a list. A character may take two columns, as Chinese and emoji do.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vitconv.foundation.text import visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

GAP = "  "
_FILLER = "\0"  # for the second column of a character; `visible` leaves none in a text
_NARROWEST = 20  # columns; below, lines are longer than the terminal rather than words on lines of their own


def table(header: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> str:
    """Columns as wide as their widest cell; the first is text, the others align right.

    Where they don't all fit, further blocks of columns follow, each behind the first column again; where not even
    two fit side by side, each row is a list of what the header calls its cells.
    """
    lines = [[visible(cell) for cell in line] for line in (header, *rows)]
    widths = [max(map(columns, column)) for column in zip(*lines, strict=True)]
    room = width - widths[0]
    if len(lines) > 1 and any(len(GAP) + needed > room for needed in widths[1:]):
        return "\n\n".join(_as_list(lines[0], row, width) for row in lines[1:])
    blocks: list[list[int]] = [[0]]
    left = room
    for column, needed in enumerate(widths[1:], start=1):
        if len(GAP) + needed > left and len(blocks[-1]) > 1:
            blocks.append([0])
            left = room
        blocks[-1].append(column)
        left -= len(GAP) + needed
    return "\n\n".join(_block(lines, widths, block) for block in blocks)


def wrapped(text: str, width: int, indent: str = "") -> str:
    """One paragraph, broken at words; all lines but the first begin with `indent`."""
    text = visible(re.sub(r"\s", " ", text)).rstrip()
    if 2 * len(text) <= width:  # no character takes more than two columns, and rich takes a moment to load
        return text
    # rich measures, and textwrap breaks: rich would break a path that is longer than a line, too.
    wide = "".join(char + _FILLER * (columns(char) - 1) for char in text)
    lines = textwrap.fill(
        wide, max(width, _NARROWEST), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return lines.replace(_FILLER, "")


def columns(text: str) -> int:
    """How many columns of a terminal a line takes."""
    from rich.cells import cell_len

    return cell_len(text)


def padded(texts: Sequence[str]) -> list[str]:
    """Each with blanks behind it, so that all take as many columns as the widest."""
    widest = max(map(columns, texts))
    return [text + " " * (widest - columns(text)) for text in texts]


def _block(lines: Sequence[Sequence[str]], widths: Sequence[int], block: Sequence[int]) -> str:
    from rich.rule import Rule
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, padding=(0, len(GAP), 0, 0), pad_edge=False, header_style="")
    for column in block:
        drawn.add_column(Text(lines[0][column]), justify="right" if column else "left", no_wrap=True)
    drawn.add_row(*(Rule(characters="-", style="") for _ in block))
    for line in lines[1:]:
        drawn.add_row(*(Text(line[column]) for column in block))
    return _drawn(drawn, sum(widths[column] + len(GAP) for column in block))


def _as_list(header: Sequence[str], row: Sequence[str], width: int) -> str:
    """A row that is too wide: its name, and below it a line for each of its cells, texts broken at words."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table.grid(padding=(0, len(GAP), 0, 0))
    drawn.add_column(no_wrap=True)
    drawn.add_column(justify="right")
    for name, cell in zip(header[1:], row[1:], strict=True):
        drawn.add_row(Text(f"{GAP}{name}"), Text(cell))
    names = max(len(GAP) + columns(name) for name in header[1:])
    # Wide enough for the longest word: a word is broken nowhere.
    words = max(columns(word) for cell in row[1:] for word in [*cell.split(), ""])
    return f"{row[0]}\n{_drawn(drawn, max(width, names + len(GAP) + words))}"


def _drawn(what: RenderableType, width: int) -> str:
    console = _console(width)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().rstrip("\n").split("\n"))


def _console(width: int) -> Console:
    """Of text alone: whatever the environment says of colours or Jupyter."""
    from rich.console import Console

    return Console(
        file=io.StringIO(), width=width, color_system=None, force_terminal=False, force_jupyter=False,
        legacy_windows=False, highlight=False, markup=False, emoji=False,
    )  # fmt: skip
