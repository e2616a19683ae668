"""Text of files: decoded, and safe to show, so that nothing in it steers a terminal."""

from __future__ import annotations

import codecs


def decoded(encoded: bytes) -> str:
    """Text in UTF-8, or in UTF-16 with a byte-order mark, as Windows writes it. Raises UnicodeDecodeError."""
    wide = encoded.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return encoded.decode("utf-16" if wide else "utf-8-sig")


def printable(text: str) -> str:
    """`text` without control characters but line ends: names that come out of files could steer a terminal."""
    return "\n".join(map(visible, text.split("\n")))


def visible(text: str) -> str:
    """The same without line ends."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
