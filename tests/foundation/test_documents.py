"""Reading JSON documents back: what is wrong is said with its place, the value, and what to do."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from vitconv.foundation import documents
from vitconv.foundation.disk.file_names import FileName
from vitconv.foundation.documents import LARGEST, Sha256, convert, parse
from vitconv.foundation.errors import CheckpointError, InputError


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    file: FileName
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    count: int
    inner: tuple[Inner, ...] = ()
    digest: Sha256 | None = None
    more: dict[str, float] = {}
    pair: tuple[int, float] | None = None


GOOD = {"name": "a", "count": 3, "inner": [{"file": "x.png", "share": 1}], "digest": "a" * 64, "more": {"b": 2}}


def read(path: Path) -> Outer:
    return documents.read(path, partial(convert, structure=Outer), "thing", "Make it anew.", CheckpointError)


def test_a_document_becomes_a_typed_object_and_back() -> None:
    value = convert(GOOD, Outer)
    assert value == Outer("a", 3, (Inner(FileName("x.png"), 1.0),), Sha256("a" * 64), {"b": 2.0})
    assert isinstance(value.inner[0].file, FileName)
    assert documents.to_json(value) == {**GOOD, "pair": None}
    assert type(documents.to_json(value)["inner"]) is list


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": None}, "`name` must be a text, not null"),
        ({"count": True}, "`count` must be a whole number, not true"),
        ({"count": 1.5}, "`count` must be a whole number, not 1.5"),
        ({"count": "many"}, "`count` must be a whole number, not 'many'"),
        ({"inner": {}}, "`inner` must be a list, not {}"),
        ({"inner": [{"file": "x"}, {}]}, "`inner[1].file` is missing"),
        ({"inner": [3]}, "`inner[0]` must be a JSON object, not 3"),
        ({"inner": [{"file": "x", "share": 2}]}, "`inner[0].share` must be a number at most 1.0, not 2"),
        ({"inner": [{"file": "x", "share": 10**400}]}, "`inner[0].share` cannot be 1000"),
        ({"inner": [{"file": "x", "colour": 1}]}, "`inner[0]` has the key 'colour', which is not known here"),
        ({"inner": [{"file": "../x"}]}, "`inner[0].file`: '../x' is no file name to use here"),
        ({"inner": [{"file": ["x"]}]}, "`inner[0].file`: it must be a text, not ['x']"),
        ({"digest": "A" * 64}, "is no SHA-256"),
        ({"digest": "a" * 64 + "\n"}, "is no SHA-256"),
        ({"more": {"b": "x"}}, "`more[...]` must be a number"),
        ({"pair": [1]}, "`pair` must be a list of 2, not [1]"),
        ({"red": 1}, "it has the key 'red', which is not known here"),
        ({"\x1b[2J\n": 1}, "it has the key '\\x1b[2J\\n', which is not known here"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place_and_its_value(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError) as caught:
        convert({**GOOD, **change}, Outer)
    assert str(caught.value).startswith(reason) or reason in str(caught.value)
    assert str(caught.value).isprintable()


BAD_TEXTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it is no JSON (Expecting value at line 1, column 1)"),
    "text": (b"hello", "it is no JSON"),
    "half": (b'{"name": "a",\n "cou', "at line 2, column 2"),
    "two": (b"{} {}", "it is no JSON (Extra data at line 1, column 4)"),
    "a byte-order mark": (b"\xef\xbb\xbf{}", "it begins with a byte-order mark"),
    "UTF-16": ('{"name": 1}'.encode("utf-16"), "it is no UTF-8 text (byte 0 is 0xff)"),
    "Latin-1": (b'{"name": "Bl\xfcte"}', "it is no UTF-8 text (byte 12 is 0xfc)"),
    "NaN": (b'{"name": [1, NaN]}', "`name[1]` is nan, which is no number in JSON"),
    "infinity": (b'{"name": -Infinity}', "`name` is -inf, which is no number in JSON"),
    "too large": (b'{"name": 1e999}', "`name` is inf, which is no number in JSON"),
    "endless digits": (b'{"count": ' + b"9" * 5000 + b"}", "a number of more than 4300 digits"),
    "a key twice": (b'{"inner": [{"file": "x", "file": "../x"}]}', "an object has the key 'file' twice"),
    "half a character": (b'{"name": "a\\ud800"}', "which holds half a character"),
    "a key with half a character": (b'{"\\udc00": 1}', "which holds half a character"),
    "nested without end": (b"[" * 200_000, "its values are nested too deep"),
    "nested deep": (b"[" * 60 + b"]" * 60, "its values are nested more than 50 deep"),
    "nested objects": (b'{"a":' * 200_000, "its values are nested too deep"),
    "a list": (b"[]", "it must be a JSON object, not []"),
    "null": (b"null", "it must be a JSON object, not null"),
    "a NUL": (b"\0", "it is no JSON"),
}


@pytest.mark.parametrize(("data", "reason"), BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_a_file_that_is_no_document_is_named_with_the_remedy(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "thing.json"
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"cannot use the thing {path}: ")
    assert reason in message
    assert message.endswith(". Make it anew.")
    assert len(message) < 700


def test_a_file_too_large_to_be_one_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "thing.json"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(CheckpointError, match=f"more than {LARGEST >> 20} MiB"):
        read(path)


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="it is a folder"):
        read(tmp_path)
    with pytest.raises(CheckpointError, match="it is a pipe or a device"):
        read(Path("/dev/zero"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="it is a pipe or a device"):
        read(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="too long"):
        read(tmp_path / ("a" * 300))
    with pytest.raises(CheckpointError, match="null byte"):
        read(tmp_path / "a\0b")


def test_a_file_that_is_not_there_is_the_caller_s_to_explain(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.json")
    with pytest.raises(NotADirectoryError):
        read(tmp_path / "file" / "thing.json")


def test_whole_numbers_of_any_size_texts_of_any_language_and_links_are_read(tmp_path: Path) -> None:
    value = {"name": "Blüte 🌷", "count": 10**400}
    (tmp_path / "real.json").write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    (tmp_path / "link.json").symlink_to("real.json")
    assert read(tmp_path / "link.json") == Outer(**value)
    assert parse(json.dumps(value).encode()) == value  # "\ud83c\udf37" in it are two halves of one character
