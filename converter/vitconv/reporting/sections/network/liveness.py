"""Which layers take part in the network's answers."""

from __future__ import annotations

from dataclasses import dataclass

from vitconv.models.liveness import ALIVE, Effect
from vitconv.reporting import charts
from vitconv.reporting.findings import Export
from vitconv.reporting.sections.graphics import Figure


@dataclass(frozen=True)
class PartRow:
    """`cut` and `mean` are in nats; `lost` is empty where the right classes were not known."""

    name: str
    kind: str
    cut: str
    mean: str
    changed: str
    lost: str
    silent: bool


@dataclass(frozen=True)
class Liveness:
    """`silent`: the sentence names layers that have no part in the answers."""

    sentence: str
    silent: bool
    figure: Figure
    rows: tuple[PartRow, ...]


def liveness(export: Export) -> Liveness | None:
    found = export.liveness
    if found is None:
        return None
    silent = {(part.name, part.kind) for part in found.silent}
    figure = Figure(
        charts.effect_of_layers(found.whole or found.parts),
        "How far the network's answers move without each layer, block or inverted residual (Kullback–Leibler "
        f"divergence). With either mark left of the dashed line, {ALIVE:g} nats, it has no part in the answers.",
    )
    rows = tuple(_row(part, (part.name, part.kind) in silent) for part in found.parts)
    return Liveness(found.sentence(), bool(silent), figure, rows)


def _row(part: Effect, silent: bool) -> PartRow:
    return PartRow(
        name=part.name,
        kind=part.kind,
        cut=f"{part.kl:.2g}",
        mean=f"{part.kl_of_mean:.2g}",
        changed=f"{part.changed:.1%}",
        lost="" if part.lost is None else f"{part.lost:+.1f}",
        silent=silent,
    )
