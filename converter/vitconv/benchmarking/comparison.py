"""Two benchmark documents side by side, model by model, from whatever machines they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitconv.benchmarking import benchmark_document
from vitconv.benchmarking.benchmark_document import FileTimes
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
    """A file in one setting; `phone` is its serial number where the document is of several."""

    phone: str
    times: FileTimes

    @property
    def settings(self) -> tuple[str, str, int]:
        return self.phone, self.times.delegate, self.times.threads

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.phone, self.times.delegate, f"{self.times.threads}t")))


def compare(a: Path, b: Path, force: bool = False) -> Comparison:
    """Pairs what the two documents have of the same model, by its digest, and of the same settings.

    Where no settings agree, and each has run the model in one way only, those two are the pair. Raises InputError
    for what is no benchmark document, and where files of one name have other contents, unless `force`.
    """
    (title_a, entries_a), (title_b, entries_b) = _entries(a), _entries(b)
    names_a = list(dict.fromkeys(entry.times.name for entry in entries_a))
    names_b = list(dict.fromkeys(entry.times.name for entry in entries_b))
    pairs: list[Pair] = []
    for name in names_a:
        left = [entry for entry in entries_a if entry.times.name == name]
        right = [entry for entry in entries_b if entry.times.name == name]
        for one, other in _matches(left, right):
            digests = one.times.sha256, other.times.sha256
            same = digests[0] is not None and digests[0] == digests[1]
            if not same and not force:
                why = "may be different files: one has no digest" if None in digests else "are different files"
                raise InputError(f"{name} in {a} and {name} in {b} {why}. To compare them anyway, add --force.")
            pairs.append(_pair(one, other, same))
    if not pairs:
        raise InputError(
            f"{a} and {b} have no model in common. In A: {', '.join(names_a) or 'none'}; "
            f"in B: {', '.join(names_b) or 'none'}."
        )
    only_a, only_b = sorted(set(names_a) - set(names_b)), sorted(set(names_b) - set(names_a))
    return Comparison(title_a, title_b, tuple(pairs), tuple(only_a), tuple(only_b))


def _entries(path: Path) -> tuple[str, list[_Entry]]:
    """What the document is of, in a line, and its entries."""
    phones = benchmark_document.read(path, f"`vitconv benchmark --json > {path.name}` makes one.")
    several = len(phones) > 1
    entries = [
        _Entry(phone.device.serial if several and phone.device else "", times)
        for phone in phones
        for times in phone.files
    ]
    return "; ".join(phone.title for phone in phones), entries


def _matches(left: Sequence[_Entry], right: Sequence[_Entry]) -> list[tuple[_Entry, _Entry]]:
    if len(left) == 1 and len(right) == 1:
        return [(left[0], right[0])]
    return [(one, other) for one in left for other in right if one.settings == other.settings]


def _pair(one: _Entry, other: _Entry, same: bool) -> Pair:
    a, b = one.times, other.times
    for statistic in ("p50_ms", "mean_ms"):
        a_ms, b_ms = getattr(a, statistic), getattr(b, statistic)
        if a_ms is not None and b_ms is not None:
            memory = a.peak_memory_mb, b.peak_memory_mb
            return Pair(a.name, same, str(one), str(other), statistic, a_ms, b_ms, round(b_ms / a_ms, 4), *memory)
    raise InputError(f"{a.name} has only a mean in one document and only a median in the other: time it again.")
