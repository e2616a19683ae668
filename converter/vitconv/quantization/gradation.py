"""Hybrid files between int8 and float: more and more units stay float, those first that remove most error for what
they cost.

`sensitivity` has measured each unit alone and weighs error against instructions by a fixed price. Whoever names a
limit has another price: the least that keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vitconv.quantization.sensitivity import Kept, UnitCost, keeping, units
from vitconv.tflite.graph import Graph

# Of the error that all measured units together remove.
_SHARES = (0.25, 0.5, 0.75, 0.9, 1.0)
_LEAST = 1.0  # instructions: a unit that is no dearer in float comes first


def gradation(graph: Graph, kept: Kept) -> tuple[Kept, ...]:
    """What stays float in a few files of the float graph, each with all that stays float in the one before it.

    kept: what `sensitivity.search` found. Its units are taken, whether it keeps them or not, until they remove a
    quarter, a half, and so on of the error that all of them remove alone. Empty where it has measured none.
    """
    found: dict[tuple[str, ...], Kept] = {}
    for chosen in _prefixes(kept):
        tensors = {
            operation.tensor for unit in chosen for operation in units(graph, unit.weights).get(unit.unit, ())
        }
        costs = (replace(unit, kept_float=unit in chosen) for unit in kept.units)
        step = keeping(graph, tensors, costs)
        found.setdefault(step.tensors, step)
    return tuple(step for tensors, step in found.items() if tensors and tensors != kept.tensors)


def _prefixes(kept: Kept) -> Iterator[tuple[UnitCost, ...]]:
    """The units that stay float in each file."""
    free = tuple(unit for unit in kept.units if unit.error_added is None)
    worth = sorted((unit for unit in kept.units if _error(unit) > 0), key=_error_for_cost, reverse=True)
    total = sum(map(_error, worth))
    removed, wanted = 0.0, list(_SHARES)
    for count, unit in enumerate(worth, 1):
        removed += _error(unit)
        if removed >= wanted[0] * total or count == len(worth):
            yield (*free, *worth[:count])
            while wanted and removed >= wanted[0] * total:
                wanted.pop(0)
        if not wanted:
            return


def _error(unit: UnitCost) -> float:
    return unit.error_added or 0.0


def _error_for_cost(unit: UnitCost) -> float:
    """Nats² that float removes for each instruction that it adds."""
    return _error(unit) / max(-unit.instructions_added, _LEAST)
