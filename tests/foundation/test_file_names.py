"""A name that comes out of a file: what leads elsewhere, or not every system takes, is refused."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vitconv.foundation.disk.file_names import LONGEST, FileName, safe_name

ESCAPES = {
    "": "is empty",
    " ": "is empty",
    ".": "leads to another folder",
    "..": "leads to another folder",
    ". .": "leads to another folder",
    "...": "leads to another folder",
    "\u2024\u2024": "leads to another folder",  # one dot leaders, which compatibility turns into dots
    "\u2025": "leads to another folder",
    "/etc/passwd": "is a path",
    "../x.png": "is a path",
    "../../../x": "is a path",
    "a/b.png": "is a path",
    "./x.png": "is a path",
    "x/": "is a path",
    "..\\x.png": "is a path",
    "a\\b": "is a path",
    "\\\\server\\share": "is a path",
    "..\uff0fx": "is a path",  # full width
    "..\uff3cx": "is a path",
    "..\u2215x": "is a path",  # a division slash
    "..\u2044x": "is a path",
    "\ufe68x": "is a path",
    "C:x.png": "':'",
    "x.png:stream": "':'",
    "a*": "'*'",
    "a?": "'?'",
    'a"b': "'\"'",
    "a<b": "'<'",
    "a|b": "'|'",
    "a\0.png": r"'\x00'",
    "a\nb": r"'\n'",
    "a\x1b[2J": r"'\x1b'",
    "a\x7f": r"'\x7f'",
    "a\x85b": r"'\x85'",
    "a\u2028b": r"'\u2028'",
    "gnp.\u202egpj": r"'\u202e'",  # is shown with its ends for each other
    "a\u2066b": r"'\u2066'",
    "a\ud800": r"'\ud800'",
    "x.png.": "ends with a dot",
    "x.png ": "ends with a dot or a space",
    "CON": "device",
    "nul.png": "device",
    "Aux.tar.gz": "device",
    "com1": "device",
    "LPT9.txt": "device",
    "COM\u00b9.png": "device",
    "con .png": "device",
    "conin$": "device",
    "a" * 256: "256 bytes",
    "日" * 86: "258 bytes",
    "a" * 100_000: "100000 bytes",
}


@pytest.mark.parametrize(("name", "reason"), ESCAPES.items(), ids=[ascii(name)[:30] for name in ESCAPES])
def test_a_name_that_leads_elsewhere_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match="is no file name to use here: ") as caught:
        FileName(name)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "name",
    ["0.png", "mobilevit_xxs-tf_flowers-int8-hybrid.tflite", ".hidden", "-rf", "a..b", "Blüte.tflite", "花.png",
     "کتاب\u200cها.png", "console.png", "com0", "nul-1.png", "a b.png", "x" * LONGEST, "½", "🏳️‍🌈.png"],
)  # fmt: skip
def test_a_plain_name_is_taken_as_it_is(name: str) -> None:
    assert FileName(name) == name
    assert isinstance(FileName(name), str)


@settings(deadline=None)
@given(st.text(max_size=12))
@example("a\u2024\u2024/b")
def test_a_name_that_is_taken_stays_in_its_folder(text: str) -> None:
    try:
        name = FileName(text)
    except ValueError:
        return
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        path = Path("/folder") / unicodedata.normalize(form, name)
        assert path.parent == Path("/folder")
        assert ".." not in path.parts
    name.encode()


@settings(deadline=None)
@given(st.text(max_size=20))
def test_what_safe_name_gives_can_be_read_back(text: str) -> None:
    name = f"eanet-{safe_name(text)}-int8.tflite"
    assert FileName(name) == name
