"""What each layer loses, beside what it costs; first, and in plain words, the one that breaks a file."""

from __future__ import annotations

from dataclasses import dataclass

from vitconv.conversion import schemes
from vitconv.evaluation.layer_errors import LayerLoss, losses
from vitconv.reporting import charts
from vitconv.reporting.advice.recommendation import broken_layers, culprit_sentence
from vitconv.reporting.findings import Export, ModelFile
from vitconv.reporting.sections.graphics import Bar, Figure

_GOOD_DB = 40.0  # a bar's whole length


@dataclass(frozen=True)
class LayerRow:
    name: str
    operator: str
    in_db: str
    out_db: str
    bar: Bar
    lost_db: str
    rms_steps: str
    cost: Bar | None
    cost_m: str
    broken: bool


@dataclass(frozen=True)
class FileLayers:
    """One file's: `sentence` says in words where its error comes from; `rows` are the worst first."""

    scheme: str
    sentence: str
    broken: bool
    rows: tuple[LayerRow, ...]


@dataclass(frozen=True)
class Layers:
    """Of the files that were compared, broken ones first."""

    files: tuple[FileLayers, ...]
    figure: Figure


def layers(export: Export) -> Layers | None:
    compared = [file for file in export.files if file.verified and file.verified.layers]
    if not compared:
        return None
    quantized = [file for file in compared if not schemes.find(file.scheme).exact]
    shown = sorted(
        quantized or compared,
        key=lambda file: (-len(broken_layers(file)), not schemes.find(file.scheme).integers_only),
    )
    marked = [loss.layer for loss in broken_layers(shown[0])[:3]]
    lines = [file for file in shown if schemes.find(file.scheme).weights == "int8"] or shown
    figure = Figure(
        charts.layers_along_the_graph(lines, marked, shown[0].scheme),
        "Signal to noise of each layer's output against the float graph, in the order of computation. "
        "Above 30 dB an error does not matter. If a line falls and stays low, a layer is broken.",
    )
    return Layers(tuple(map(_file, shown)), figure)


def _file(file: ModelFile) -> FileLayers:
    assert file.verified
    found = losses(file.verified.layers)
    dearest = max((loss.layer.instructions or 0.0 for loss in found), default=0.0)
    rows = tuple(_row(loss, dearest) for loss in found)
    return FileLayers(file.scheme, culprit_sentence(file) or "", bool(broken_layers(file)), rows)


def _row(loss: LayerLoss, dearest: float) -> LayerRow:
    """`dearest`: the most instructions that a layer of the file takes, for the bar's whole length."""
    layer = loss.layer
    cost = layer.instructions
    share = max(0.0, min(layer.snr_db, _GOOD_DB)) / _GOOD_DB
    return LayerRow(
        name=layer.layer,
        operator=layer.operator,
        in_db=_db(loss.before_db),
        out_db=_db(layer.snr_db),
        bar=Bar(share, f"{layer.snr_db:.1f} dB", "bad" if loss.broken else ""),
        lost_db=f"{max(0.0, loss.lasting_db):.1f}",
        rms_steps="" if layer.rms_steps is None else f"{layer.rms_steps:.2f}",
        cost=None if cost is None else Bar(cost / dearest if dearest else 0.0, f"{cost / 1e6:.2f} million"),
        cost_m="" if cost is None else f"{cost / 1e6:.2f}",
        broken=loss.broken,
    )


def _db(value: float) -> str:
    return "exact" if value >= 200 else f"{value:.1f}"
