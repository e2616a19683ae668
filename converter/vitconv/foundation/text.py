"""Text that is safe to show: nothing in it steers a terminal, no line is longer than there is room."""

from __future__ import annotations

import textwrap


def printable(text: str) -> str:
    """`text` without control characters but line ends: names that come out of files could steer a terminal."""
    return "\n".join(map(visible, text.split("\n")))


def visible(text: str) -> str:
    """The same without line ends."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def wrapped(text: str, width: int, indent: str = "") -> str:
    """One paragraph, broken at words; all lines but the first begin with `indent`."""
    return textwrap.fill(
        text, max(width, 20), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
