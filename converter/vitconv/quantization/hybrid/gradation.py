"""Hybrid files between int8 and float: more and more units stay float, those first that remove most error for what
they cost.

`sensitivity` has measured each unit alone and weighs error against instructions by a fixed price. Whoever names a
limit has another price: the least that keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from vitconv.quantization.hybrid.kept import Kept, UnitCost, keeping
from vitconv.quantization.hybrid.sensitivity import LARGEST_TOGETHER
from vitconv.quantization.hybrid.units import units
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import Operation

# Of the error that all measured units together remove.
_SHARES = (0.25, 0.5, 0.75, 0.9, 1.0)
_LEAST = 1.0  # instructions: a unit that is no dearer in float comes first
_MORE_BYTES = 3  # that a weight takes in float32, of which an int8 file's bytes are most


def gradation(graph: Graph, kept: Kept, by_branches: bool = False) -> tuple[Kept, ...]:
    """What stays float in a few files of the float graph, each with all that stays float in the one before it.

    kept: what `sensitivity.search` found. Its units are taken, whether it keeps them or not, until they remove a
    quarter, a half, and so on of the error that all of them remove alone. A unit whose weights would make the file
    too large, as `search` has it, is left out. Empty where it has measured none. by_branches: as it was searched.
    """
    found: dict[tuple[str, ...], Kept] = {}
    members = {weights: units(graph, weights, by_branches) for weights in (False, True)}
    for chosen in _prefixes(kept, _growth(graph, members[True])):
        tensors = {operation.tensor for unit in chosen for operation in members[unit.weights].get(unit.unit, ())}
        costs = (replace(unit, kept_float=unit in chosen) for unit in kept.units)
        step = keeping(graph, tensors, costs)
        found.setdefault(step.tensors, step)
    return tuple(step for tensors, step in found.items() if tensors and tensors != kept.tensors)


def _prefixes(kept: Kept, growth: Mapping[str, float]) -> Iterator[tuple[UnitCost, ...]]:
    """The units that stay float in each file. `growth`: what a unit's weights add to its size."""
    free = tuple(unit for unit in kept.units if unit.error_added is None)
    room = LARGEST_TOGETHER - sum(growth.get(unit.unit, 0.0) for unit in free if unit.weights)
    worth: list[UnitCost] = []
    for unit in sorted((one for one in kept.units if _error(one) > 0), key=_error_for_cost, reverse=True):
        added = growth.get(unit.unit, 0.0) if unit.weights else 0.0
        if added <= room:
            worth.append(unit)
            room -= added
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


def _growth(graph: Graph, members: Mapping[str, Sequence[Operation]]) -> dict[str, float]:
    """Unit → what its weights in float32 add to the size of an int8 file, as a fraction. `members`: unit → its
    operations, weights and all."""
    model = graph.model
    subgraph = model.subgraphs[0]

    def weights(indices: Iterable[int]) -> int:
        tensors = [subgraph.tensors[index] for index in set(indices)]
        constants = [tensor for tensor in tensors if flatbuffer.is_constant(model, tensor)]
        return sum(math.prod(flatbuffer.tensor_shape(tensor)) for tensor in constants)

    total = max(1, weights(index for operator in subgraph.operators for index in flatbuffer.inputs(operator)))
    return {
        name: _MORE_BYTES
        * weights(index for one in unit for index in flatbuffer.inputs(subgraph.operators[one.index]))
        / total
        for name, unit in members.items()
    }


def _error(unit: UnitCost) -> float:
    return unit.error_added or 0.0


def _error_for_cost(unit: UnitCost) -> float:
    """Nats² that float removes for each instruction that it adds."""
    return _error(unit) / max(-unit.instructions_added, _LEAST)
