"""Accuracy against latency, the spread of times, what files cost on arm64, and every setting on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vitconv.benchmarking.android_document import common_cpus
from vitconv.reporting import charts
from vitconv.reporting.findings import Arm64Cost, Export, ModelFile, Timing
from vitconv.reporting.sections.graphics import Figure
from vitconv.runtimes.android.instruction_counts import KINDS


@dataclass(frozen=True)
class PhoneRow:
    """One file in one setting; empty texts stand for what is not known."""

    scheme: str
    phone: str
    setting: str
    ms: str
    init_ms: str
    delegated: str
    nodes: str


@dataclass(frozen=True)
class CostRow:
    """One file on one of arm64-v8a's processors; counts in millions."""

    scheme: str
    cpu: str
    instructions: str
    relative: str
    by_kind: tuple[str, ...]
    x86_64_ms: str


@dataclass(frozen=True)
class Latency:
    """`gaps` say how to measure what is missing; `kinds` are the columns of `costs`' by_kind, `android` is the
    library that they are of."""

    figures: tuple[Figure, ...]
    gaps: tuple[str, ...]
    settings: tuple[PhoneRow, ...]
    kinds: tuple[str, ...]
    costs: tuple[CostRow, ...]
    android: str


def latency(export: Export, missing: dict[str, str]) -> Latency:
    return Latency(
        figures=(*_figures(export), *_arm64_figures(export)),
        gaps=tuple(missing[name] for name in ("latency", "arm64", "phone") if name in missing),
        settings=tuple(_setting(file, timing) for file in export.files for timing in file.phones),
        kinds=tuple(kind.replace("_", " ") for kind in KINDS),
        costs=tuple(_cost(file, cost) for file in export.files for cost in export.arm64(file)),
        android=export.android or "",
    )


def _figures(export: Export) -> Iterator[Figure]:
    desktop = {file.path: file.desktop for file in export.files if file.desktop}
    phone = {file.path: file.phone for file in export.files if file.phone}
    for where, times in (("this desktop", desktop), ("the phone, fastest setting", phone)):
        both = [file for file in export.files if file.path in times and file.verified]
        if both and export.reference:
            yield Figure(
                charts.accuracy_against_latency(both, times, export.reference.top1, where),
                f"Accuracy against latency on {where}. "
                "A mark's area is the file's size; bars are 95 % confidence.",
            )
    spread = [file for file in export.files if file.path in desktop and len(desktop[file.path].quantiles_ms) == 21]
    if spread:
        runs = desktop[spread[0].path].runs
        yield Figure(
            charts.latency_spread(spread, desktop),
            f"Spread of {'the' if runs is None else runs} runs here: the middle half as a bar, the median in it, "
            "5 % to 95 % as a line.",
        )


def _arm64_figures(export: Export) -> Iterator[Figure]:
    """Of the newest and the oldest processor on which all were counted."""
    costs = [(file.scheme, file.android) for file in export.files if file.android]
    cpus = common_cpus([cost for _, cost in costs])
    counts = {
        cpu: {scheme: found for scheme, cost in costs if (found := cost.on(cpu))}
        for cpu in dict.fromkeys((*cpus[:1], *cpus[-1:]))
    }
    every = [one for by_scheme in counts.values() for one in by_scheme.values()]
    what = "operator" if all(one.by_operator for one in every) else "kind"
    for cpu, by_scheme in counts.items():
        yield Figure(
            charts.instructions(by_scheme, cpu, charts.dearest(every)),
            f"Instructions for one image on arm64-v8a ({cpu}) by {what}, in the library that Android apps ship. "
            "They are not milliseconds.",
        )


def _cost(file: ModelFile, cost: Arm64Cost) -> CostRow:
    assert file.android
    counts = file.android.on(cost.cpu)
    assert counts
    return CostRow(
        scheme=file.scheme,
        cpu=cost.cpu,
        instructions=f"{cost.instructions / 1e6:.1f}",
        relative=f"{cost.relative:.2f}" if cost.relative else "",
        by_kind=tuple(f"{counts.by_kind.get(kind, 0) / 1e6:.1f}" for kind in KINDS),
        x86_64_ms=f"{file.android.x86_64.p50_ms:.2f}",
    )


def _setting(file: ModelFile, timing: Timing) -> PhoneRow:
    return PhoneRow(
        scheme=file.scheme,
        phone=timing.place,
        setting=timing.setting,
        ms=f"{timing.ms:.2f}",
        init_ms="" if timing.init_ms is None else f"{timing.init_ms:.1f}",
        delegated=timing.delegated or "not said",
        nodes="" if timing.nodes is None else f"{timing.delegated_nodes} of {timing.nodes}",
    )
