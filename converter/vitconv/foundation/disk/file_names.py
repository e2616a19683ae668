"""Names of files that come out of other files: a manifest, a card. Nobody knows who wrote those."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 255  # bytes of UTF-8, which is what file systems take

# Windows opens a device under these names, whatever follows the first dot.
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{device}{number}" for device in ("com", "lpt") for number in "123456789¹²³"
}
# Separators, drives and streams, wildcards and quotes of one system or another; control characters; characters
# that end a line or turn the order in which a name is shown; halves of characters, as in names that are not UTF-8.
_FORBIDDEN = re.compile(
    r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]'
)


def safe_name(text: str) -> str:
    """`text` as a part of a file's name that every system takes: "cats/large" → "cats-large"."""
    return "".join("-" if _FORBIDDEN.match(char) or _disguised(char) else char for char in text)


class FileName(str):
    """The name of a file in the folder that it is read from, the same on every system.

    It is checked when it is made, so a path that is joined with one stays in its folder. Raises ValueError for
    anything that leads elsewhere (a path, "..", a drive, a device), that not every system takes (control
    characters, `:`, a dot at the end), and for what is empty or longer than LONGEST.
    """

    __slots__ = ()

    def __new__(cls, name: str) -> FileName:
        if reason := _refusal(name):
            shown = name if len(name) <= 80 else f"{name[:60]}…{name[-10:]}"
            raise ValueError(f"{shown!r} is no file name to use here: {reason}")
        return super().__new__(cls, name)


def _refusal(name: str) -> str | None:
    """What is wrong with a name; None where nothing is."""
    if not name.strip(" ."):
        return "it is empty" if not name.strip() else "it leads to another folder"
    for char in name:
        if char in "/\\" or _disguised(char):
            return "it is a path, and only the name of a file in the same folder is taken"
        if _FORBIDDEN.match(char):
            return f"not every system takes the character {char!a} in it"
    if not unicodedata.normalize("NFKC", name).strip(" ."):
        return "it leads to another folder"
    if name[-1] in " .":
        return "it ends with a dot or a space, which Windows leaves out"
    if name.split(".")[0].rstrip().casefold() in _DEVICES:
        return "it is a device on Windows"
    if (size := len(name.encode())) > LONGEST:
        return f"it has {size} bytes, and {LONGEST} is the most"
    return None


def _disguised(char: str) -> bool:
    """Whether some programs take the character for a separator: "／" and its like."""
    return char in "⁄∕∖⧵⧸⧹" or not (char.isascii() or {"/", "\\"}.isdisjoint(unicodedata.normalize("NFKC", char)))
