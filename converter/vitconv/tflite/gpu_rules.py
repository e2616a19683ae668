"""Which operations of a file a phone's GPU must not get, because it computes something else and nobody is told.

LEAKY_RELU(x) is x, and slope·x where x is negative. TensorFlow Lite's GPU delegate (delegates/gpu/common/tasks/
relu.cc) computes max(x, min(slope·x, 0)), and LiteRT's accelerator the same. The two agree for slopes from 0 to 1
only: with −1, by which our integer files take |x|, GPUs answer max(x, 0).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import operations


@dataclass(frozen=True)
class NotForGpus:
    """An operation that GPUs must not get: its place in the main graph, its operator, the layer it belongs to, and
    why."""

    index: int
    operator: str
    layer: str
    reason: str


def wrong_on_gpus(graph: Graph) -> tuple[NotForGpus, ...]:
    """The operations of a file that GPUs compute wrongly and in silence, in the graph's order."""
    return tuple(_wrong(graph))


def _wrong(graph: Graph) -> Iterator[NotForGpus]:
    operators = graph.model.subgraphs[0].operators or ()
    for operation in operations(graph):
        options = operators[operation.index].builtinOptions
        if operation.operator == "LEAKY_RELU" and not 0 <= _slope(options) <= 1:
            reason = f"GPUs compute it right for slopes from 0 to 1 only, and its slope is {_slope(options):g}"
            yield NotForGpus(operation.index, operation.operator, operation.layer, reason)


def _slope(options: Any) -> float:
    return 0.0 if options is None else float(options.alpha)
