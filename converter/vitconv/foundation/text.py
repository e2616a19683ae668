"""Text that is safe to show: nothing in it steers a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` without control characters but line ends: names that come out of files could steer a terminal."""
    return "\n".join(map(visible, text.split("\n")))


def visible(text: str) -> str:
    """The same without line ends."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
