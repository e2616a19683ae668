"""Accuracy against latency, the spread of times, and every setting on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vitconv.reporting import charts
from vitconv.reporting.findings import Export, ModelFile, Timing
from vitconv.reporting.sections.graphics import Figure


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
class Latency:
    """`gaps` say how to measure what is missing."""

    figures: tuple[Figure, ...]
    gaps: tuple[str, ...]
    settings: tuple[PhoneRow, ...]


def latency(export: Export, missing: dict[str, str]) -> Latency:
    return Latency(
        figures=tuple(_figures(export)),
        gaps=tuple(missing[name] for name in ("latency", "phone") if name in missing),
        settings=tuple(_setting(file, timing) for file in export.files for timing in file.phones),
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
