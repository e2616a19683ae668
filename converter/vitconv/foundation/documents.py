"""JSON documents that are read back: a file → a frozen typed object, or one error that says where and why not.

Beside a document's writer stands its structure, a msgspec.Struct or a dataclass: which keys there are, and what
each holds. msgspec compares the document with it. What no structure can say (the file's size, what JSON itself
leaves open) is checked here, the same for every document.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from reprlib import Repr
from typing import Any, TypeVar

import msgspec

from vitconv.foundation.errors import InputError
from vitconv.foundation.text import visible

LARGEST = 32 << 20  # bytes; the largest document that vitconv writes, of a thousand classes, has some 4 MB
DEEPEST = 50  # values inside values; vitconv's own have 6

_LONGEST_REASON = 400  # characters
_WORDS = {
    "str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false", "array": "a list",
    "object": "a JSON object", "null": "null",
}  # fmt: skip
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60

T = TypeVar("T")
S = TypeVar("S", bound=str)


class Sha256(str):
    """A SHA-256 as 64 hexadecimal digits. Raises ValueError for any other text."""

    __slots__ = ()

    def __new__(cls, digits: str) -> Sha256:
        if not re.fullmatch("[0-9a-f]{64}", digits):
            raise ValueError(f"{_SHORT.repr(digits)} is no SHA-256 of 64 hexadecimal digits")
        return super().__new__(cls, digits)


def read(
    path: Path, build: Callable[[Any], T], name: str, remedy: str, error_class: type[InputError] = InputError
) -> T:
    """What `build` makes of a document; `name` says what it should be ("calibration file"), `remedy` what to do
    where it isn't.

    Raises `error_class` with the file, the reason and the remedy where the file cannot be read, is no JSON, or
    where `build` raises InputError or ValueError. FileNotFoundError and NotADirectoryError come through: only the
    caller knows what to say where there is no file.
    """
    try:
        return build(parse(_contents(path)))
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        reason = error.strerror or str(error)
    except (InputError, ValueError) as error:
        reason = str(error)
    reason = visible(" ".join(reason.split())).rstrip(".")
    if len(reason) > _LONGEST_REASON:
        reason = f"{reason[:_LONGEST_REASON]}…"
    raise error_class(f"cannot use the {name} {path}: {reason}. {remedy}")


def read_if_there(path: Path, build: Callable[[Any], T], name: str, remedy: str) -> T | None:
    """`read`, and None where there is no file."""
    try:
        return read(path, build, name, remedy)
    except (FileNotFoundError, NotADirectoryError):
        return None


def parse(data: bytes) -> Any:
    """The value of a JSON text. Raises InputError that says what is wrong with it, and where.

    Stricter than `json.loads`: no key twice, no NaN or infinity, no half characters, and nothing that is nested
    without need.
    """
    if len(data) > LARGEST:
        raise InputError(f"it has more than {LARGEST >> 20} MiB, and no document of vitconv has as much.")
    if data.startswith(b"\xef\xbb\xbf"):
        raise InputError("it begins with a byte-order mark. Save it as UTF-8 without one.")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise InputError(f"it is no UTF-8 text (byte {error.start} is {data[error.start]:#04x}).") from None
    except json.JSONDecodeError as error:
        raise InputError(f"it is no JSON ({error.msg} at line {error.lineno}, column {error.colno}).") from None
    except RecursionError:
        raise InputError("its values are nested too deep.") from None
    except ValueError:
        raise InputError("it holds a number of more than 4300 digits.") from None
    for place, one, depth in _values(value):
        if depth > DEEPEST:
            raise InputError(f"its values are nested more than {DEEPEST} deep.")
        if isinstance(one, float) and not abs(one) < float("inf"):
            raise InputError(f"{_name(place)} is {one}, which is no number in JSON.")
        if isinstance(one, str) and not _is_whole(one):
            raise InputError(f"{_name(place)} is {_shown(one)}, which holds half a character.")
    return value


def convert(value: Any, structure: type[T]) -> T:
    """A JSON value as an object of a structure. Raises InputError with the place, the value and the reason."""
    try:
        return msgspec.convert(value, structure, dec_hook=_text)
    except msgspec.ValidationError as error:
        raise InputError(f"{_reason(str(error), value)}.") from None


def to_json(structure: Any) -> Any:
    """A structure as the JSON value that `convert` reads."""
    return msgspec.json.decode(msgspec.json.encode(structure, enc_hook=str))


def _contents(path: Path) -> bytes:
    kind = path.stat().st_mode
    if stat.S_ISDIR(kind):
        raise InputError("it is a folder.")
    if not stat.S_ISREG(kind):
        raise InputError("it is a pipe or a device, not a file.")
    with path.open("rb") as stream:
        return stream.read(LARGEST + 1)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"an object has the key {_SHORT.repr(twice)} twice.")
    return found


def _is_whole(text: str) -> bool:
    """Whether it can be written as UTF-8: escapes can name halves of characters."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


_Place = tuple[Any, ...]  # (the place of what holds it, a key or an index); () is the document itself


def _values(document: Any) -> Iterator[tuple[_Place, Any, int]]:
    """Every value in a document and every key, with its place and its depth. Not recursive, however deep."""
    waiting: list[tuple[_Place, Any, int]] = [((), document, 0)]
    while waiting:
        place, value, depth = waiting.pop()
        yield place, value, depth
        if isinstance(value, dict):
            for key, inner in value.items():
                yield place, key, depth
                waiting.append(((place, key), inner, depth + 1))
        elif isinstance(value, list):
            waiting += [((place, index), inner, depth + 1) for index, inner in enumerate(value)]


def _name(place: _Place) -> str:
    """A place as messages show it: `files[0].path`."""
    steps = []
    while place:
        place, step = place
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return f"`{''.join(reversed(steps)).lstrip('.')}`" if steps else "it"


def _text(kind: type[S], value: Any) -> S:
    """A value as one of our own kinds of text."""
    if not isinstance(value, str):
        raise ValueError(f"it must be a text, not {_shown(value)}")
    return kind(value)


def _shown(value: Any) -> str:
    """A value as messages show it: short, and as in JSON."""
    return json.dumps(value) if value is None or isinstance(value, bool) else _SHORT.repr(value)


def _reason(message: str, document: Any) -> str:
    """msgspec's message in our words, with the value that was seen."""
    found = re.fullmatch(r"(?s)(.*) - at (?:`key` in )?`\$(.*)`", message)
    what, way = (found[1], found[2]) if found else (message, "")
    name = f"`{way.lstrip('.')}`" if way else "it"
    if missing := re.fullmatch(r"Object missing required field `(.*)`", what):
        return f"`{f'{way}.{missing[1]}'.lstrip('.')}` is missing"
    if unknown := re.fullmatch(r"(?s)Object contains unknown field `(.*)`", what):
        return f"{name} has the key {_SHORT.repr(unknown[1])}, which is not known here"
    seen = "" if "[...]" in way else _shown(_seen(document, way))  # msgspec does not say which key's value
    if expected := re.fullmatch(r"Expected `(.+?)`(.*?)(?:, got .*)?", what):
        words = " or ".join(_WORDS.get(kind, kind) for kind in expected[1].split(" | "))
        limit = expected[2].replace(" of length", " of").replace(" >=", " at least").replace(" <=", " at most")
        return f"{name} must be {words}{limit}{f', not {seen}' if seen else ''}"
    if seen and what.startswith(("Invalid enum value", "Number out of range", "Integer value out of range")):
        return f"{name} cannot be {seen}"
    return f"{name}: {what}" if way else what


def _seen(document: Any, way: str) -> Any:
    """The value at a place of msgspec's."""
    value = document
    for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", way):
        value = value[key] if key else value[int(index)]
    return value
