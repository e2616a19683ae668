"""Two benchmark documents side by side, model by model, from whatever machines they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitconv.foundation.errors import InputError


@dataclass(frozen=True)
class Pair:
    """One model in both. `statistic` is what both have: p50_ms, else mean_ms; `ratio` is b / a.

    `a` and `b` say how each ran. `same_model` is False where the contents differ, or were not recorded.
    """

    name: str
    same_model: bool
    a: str
    b: str
    statistic: str
    a_ms: float
    b_ms: float
    ratio: float
    a_memory_mb: float | None
    b_memory_mb: float | None


@dataclass(frozen=True)
class Comparison:
    """`only_a` and `only_b` are models that the other document does not have."""

    a: str
    b: str
    pairs: tuple[Pair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of `vitconv benchmark --compare --json`."""
        return asdict(self)


@dataclass(frozen=True)
class _Entry:
    name: str
    sha256: str | None
    phone: str
    delegate: str
    threads: int
    values: dict[str, Any]

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.phone, self.delegate, f"{self.threads}t")))


def compare(a: Path, b: Path, force: bool = False) -> Comparison:
    """Pairs what the two documents have of the same model, by its digest, and of the same settings.

    Where no settings agree, and each has run the model in one way only, those two are the pair. Raises InputError
    for what is no benchmark document, and where files of one name have other contents, unless `force`.
    """
    (title_a, entries_a), (title_b, entries_b) = _read(a), _read(b)
    pairs: list[Pair] = []
    names = list(dict.fromkeys(entry.name for entry in entries_a))
    for name in names:
        left = [entry for entry in entries_a if entry.name == name]
        right = [entry for entry in entries_b if entry.name == name]
        for one, other in _matches(left, right):
            same = one.sha256 is not None and one.sha256 == other.sha256
            if not same and not force:
                known = one.sha256 is not None and other.sha256 is not None
                why = "are different files" if known else "may be different files: one has no digest"
                raise InputError(
                    f"{name} in {a} and {name} in {b} {why}. To compare them all the same, add --force."
                )
            pairs.append(_pair(one, other, same))
    if not pairs:
        raise InputError(
            f"{a} and {b} have no model in common. In A: {', '.join(names) or 'none'}; "
            f"in B: {', '.join(dict.fromkeys(entry.name for entry in entries_b)) or 'none'}."
        )
    known_a, known_b = {entry.name for entry in entries_a}, {entry.name for entry in entries_b}
    return Comparison(
        title_a, title_b, tuple(pairs), tuple(sorted(known_a - known_b)), tuple(sorted(known_b - known_a))
    )


def _matches(left: Sequence[_Entry], right: Sequence[_Entry]) -> list[tuple[_Entry, _Entry]]:
    if len(left) == 1 and len(right) == 1:
        return [(left[0], right[0])]

    def settings(entry: _Entry) -> tuple[str, str, int]:
        return entry.phone, entry.delegate, entry.threads

    return [(one, other) for one in left for other in right if settings(one) == settings(other)]


def _pair(one: _Entry, other: _Entry, same: bool) -> Pair:
    both = (one.values, other.values)
    statistic = "p50_ms" if all(values.get("p50_ms") for values in both) else "mean_ms"
    a_ms, b_ms = (float(values[statistic]) for values in both)
    memory = [values.get("peak_memory_mb") for values in both]
    return Pair(one.name, same, str(one), str(other), statistic, a_ms, b_ms, round(b_ms / a_ms, 4), *memory)


def _read(path: Path) -> tuple[str, list[_Entry]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no file {path}. `vitconv benchmark --json > {path.name}` makes one.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}.") from error
    try:
        phones = document.get("phones", [document])
        several = len(phones) > 1
        entries = [_entry(one, phone, several) for phone in phones for one in phone["files"]]
        title = "; ".join(f"{phone['machine']}, {phone['runtime']}" for phone in phones)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not what `vitconv benchmark --json` gives: {error!r}.") from error
    return title, entries


def _entry(values: dict[str, Any], document: dict[str, Any], several: bool) -> _Entry:
    mean = float(values["mean_ms"])
    if not mean > 0 or (values.get("p50_ms") is not None and not float(values["p50_ms"]) > 0):
        raise ValueError(f"{values['path']} has no time above 0")
    if values.get("peak_memory_mb") is not None:
        float(values["peak_memory_mb"])
    phone = str(document["device"]["serial"]) if several else ""
    # On this machine the runtime always uses XNNPACK.
    delegate = str(values.get("delegate", "xnnpack"))
    digest = values.get("sha256")
    name = str(values["path"]).replace("\\", "/").rpartition("/")[2]
    return _Entry(name, digest, phone, delegate, int(values["threads"]), values)
