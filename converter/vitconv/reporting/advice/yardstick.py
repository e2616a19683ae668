"""What the files of an export are ranked by: times on a phone, else instructions on arm64, else times here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vitconv.benchmarking.android_document import common_cpus
from vitconv.reporting.findings import Export, ModelFile

# Files whose costs are this close are equally cheap: no user would feel it, and the smaller one is better.
AS_CHEAP = 1.05


@dataclass(frozen=True)
class Yardstick:
    """costs: by path, milliseconds, or instructions on `cpu`, of the files that have one; "nothing" has none."""

    kind: Literal["phone", "arm64", "desktop", "nothing"]
    costs: Mapping[str, float]
    cpu: str = ""


def yardstick(files: Sequence[ModelFile]) -> Yardstick:
    """The nearest to a phone that all files were measured by; on this machine also those that were."""
    phones = _common_phones(files)
    if phones:
        root = 1 / len(phones)  # of several phones, the geometric mean; of several settings, the fastest
        costs = {file.path: math.prod(_best(file, name) or 1.0 for name in phones) ** root for file in files}
        return Yardstick("phone", costs)
    cpus = _common_cpus(files)
    if cpus:
        return Yardstick("arm64", _instructions(files, cpus[0]), cpus[0])
    desktop = _desktop(files)
    return Yardstick("desktop" if desktop else "nothing", desktop)


def disagreements(files: Sequence[ModelFile]) -> Iterator[str]:
    """A sentence for each two measures between which two files change places by more than AS_CHEAP."""
    cpus = _common_cpus(files)
    if not cpus:
        return
    newest = f"arm64-v8a ({cpus[0]})"
    measures = [("this desktop", _desktop(files)), (newest, _instructions(files, cpus[0]))]
    measures += [(f"{cpu}", _instructions(files, cpu)) for cpu in cpus[-1:] if cpu != cpus[0]]
    for place, costs in (measures[0], *measures[2:]):
        both = [file for file in files if file.path in costs]
        mine = {file.path: measures[1][1][file.path] for file in both}
        if _swapped(costs, mine):
            yield (
                f"The order of the files is another on {place} ({_order(both, costs)}) than on {newest} "
                f"({_order(both, mine)}), each time the cheapest first."
            )


def arm64_beside_float32(export: Export, file: ModelFile) -> str:
    """ "on arm64-v8a it takes 1.9 times fewer instructions than float32 (max) …"; "" where that is not known."""
    shares = [(cost.cpu, cost.relative) for cost in export.arm64(file) if cost.relative]
    if not shares or file is export.exact:
        return ""
    said = [
        f"{_times(share)} float32{'' if number else ' does'} ({cpu})" for number, (cpu, share) in enumerate(shares)
    ]
    return f"on arm64-v8a it takes {' and '.join(said)}"


def _times(share: float) -> str:
    if 1 / AS_CHEAP <= share <= AS_CHEAP:
        return "as many instructions as"
    return f"{1 / share:.1f} times fewer instructions than" if share < 1 else f"{share:.2f} times as many as"


def _common_phones(files: Sequence[ModelFile]) -> list[str]:
    """The phones on which all these files were timed."""
    places = {timing.place for file in files for timing in file.phones}
    return [place for place in sorted(places) if all(_best(file, place) for file in files)]


def _best(file: ModelFile, place: str) -> float | None:
    return min((timing.ms for timing in file.phones if timing.place == place), default=None)


def _common_cpus(files: Sequence[ModelFile]) -> list[str]:
    costs = [file.android for file in files if file.android]
    return common_cpus(costs) if len(costs) == len(files) else []


def _instructions(files: Sequence[ModelFile], cpu: str) -> dict[str, float]:
    return {
        file.path: float(counts.instructions)
        for file in files
        if file.android and (counts := file.android.on(cpu))
    }


def _desktop(files: Sequence[ModelFile]) -> dict[str, float]:
    return {file.path: file.desktop.ms for file in files if file.desktop}


def _swapped(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    return any(
        a[one] * AS_CHEAP < a[other] and b[one] > b[other] * AS_CHEAP for one in a for other in a if one != other
    )


def _order(files: Sequence[ModelFile], costs: Mapping[str, float]) -> str:
    return ", ".join(file.scheme for file in sorted(files, key=lambda file: costs[file.path]))
