"""What calibration saw of each tensor, and what eight bits keep of it."""

from __future__ import annotations

from dataclasses import dataclass

from vitconv.quantization.ranges import TensorRange
from vitconv.reporting.findings import Export
from vitconv.reporting.sections.graphics import Bar
from vitconv.tflite.layer_names import layer_of

_MUCH_KEPT = 0.9  # of the span that was seen


@dataclass(frozen=True)
class RangeRow:
    """`name` is short, `tensor` the tensor's whole name."""

    name: str
    tensor: str
    seen: str
    bar: Bar
    kept: str
    share: str


@dataclass(frozen=True)
class GraphRanges:
    """Of one scheme's graph, what is clipped most first; `clipped` of the tensors lose more than a tenth."""

    scheme: str
    clipped: int
    rows: tuple[RangeRow, ...]


@dataclass(frozen=True)
class ActivationRanges:
    images: int
    dataset: str
    split: str
    method: str
    graphs: tuple[GraphRanges, ...]


def activation_ranges(export: Export) -> ActivationRanges | None:
    found = export.calibration
    if found is None:
        return None
    graphs = []
    for graph in found.graphs:
        ordered = sorted(graph.ranges, key=lambda tensor: (_kept(tensor), tensor.name))
        clipped = sum(_kept(tensor) < _MUCH_KEPT for tensor in ordered)
        graphs.append(GraphRanges(graph.scheme, clipped, tuple(map(_row, ordered))))
    return ActivationRanges(len(found.images), found.dataset, found.split, found.method, tuple(graphs))


def _row(tensor: TensorRange) -> RangeRow:
    seen = max(tensor.seen_max - tensor.seen_min, 1e-30)
    start = max(0.0, (tensor.min - tensor.seen_min) / seen)
    share = _kept(tensor)
    return RangeRow(
        name=f"{layer_of(tensor.name)} {tensor.name.rpartition('|')[2]}",
        tensor=tensor.name,
        seen=f"{tensor.seen_min:.3g} … {tensor.seen_max:.3g}",
        bar=Bar(share, f"{share:.0%} of what was seen", "range", start),
        kept=f"{tensor.min:.3g} … {tensor.max:.3g}",
        share=f"{share:.1%}",
    )


def _kept(tensor: TensorRange) -> float:
    """The share of what was seen that is not clipped, 0 to 1."""
    seen = tensor.seen_max - tensor.seen_min
    if seen <= 0:
        return 1.0
    return max(0.0, min(tensor.max, tensor.seen_max) - max(tensor.min, tensor.seen_min)) / seen
