"""What stays float in a hybrid file: named by the user, or chosen by what each unit costs in integers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from vitconv.foundation.errors import UnknownNameError
from vitconv.quantization.hybrid.units import inner_operations, with_moves
from vitconv.tflite.graph import Graph


@dataclass(frozen=True)
class UnitCost:
    """What quantizing one unit costs: all of its operations where `weights`, else those without weights.

    error_added: mean squared error of the logarithm of the two best classes' ratio, in nats², beyond that of the
    file in which the unit is float; None where float costs so little that nobody measured it. instructions_added:
    of one run on a phone, beyond that file's, as estimated by `cost_model`.
    """

    unit: str
    weights: bool
    operations: int
    error_added: float | None
    instructions_added: float
    kept_float: bool


@dataclass(frozen=True)
class Kept:
    """What stays float. `tensors` are the operations' outputs by name; `layers` their layers; `units` is empty
    where nothing was measured."""

    tensors: tuple[str, ...]
    layers: tuple[str, ...]
    units: tuple[UnitCost, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As calibration files keep it."""
        return {
            "tensors": list(self.tensors),
            "layers": list(self.layers),
            "units": [asdict(unit) for unit in self.units],
        }


def matching(graph: Graph, patterns: Sequence[str]) -> Kept:
    """Keeps whole layers, weights and all, whose names match one of the patterns (`*`, `?`, `[…]`).

    Raises UnknownNameError for a pattern that no layer matches.
    """
    found = inner_operations(graph)
    known = {operation.layer for operation in found}
    for pattern in patterns:
        if not any(fnmatchcase(layer, pattern) for layer in known):
            raise UnknownNameError("layer", pattern, known)
    chosen = [op for op in found if any(fnmatchcase(op.layer, pattern) for pattern in patterns)]
    return keeping(graph, {operation.tensor for operation in chosen})


def keeping(graph: Graph, tensors: Iterable[str], costs: Iterable[UnitCost] = ()) -> Kept:
    """The operations that compute these tensors, with what moves their values on."""
    chosen = set(tensors)
    found = inner_operations(graph)
    layers = dict.fromkeys(operation.layer for operation in found if operation.tensor in chosen)
    closed = with_moves(graph, chosen)
    return Kept(tuple(op.tensor for op in found if op.tensor in closed), tuple(layers), tuple(costs))
