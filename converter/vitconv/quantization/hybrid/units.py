"""Operations that stay float together, or none of them: a layer's, or a branch's beside a residual connection."""

from __future__ import annotations

from collections.abc import Iterable

from vitconv.quantization.hybrid.branches import branches
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import Operation, operations

_MOVES_ONLY = ("RESHAPE", "TRANSPOSE", "SPLIT", "CONCATENATION")
_OWN_UNIT = ("attention", "attn", "norm", "norm1", "norm2")


def units(graph: Graph, weights: bool, by_branches: bool = False) -> dict[str, list[Operation]]:
    """Unit → its operations: all that compute where `weights`, else those without weights. Operations that only
    move values are in none; with `weights`, units that have none are left out. With `by_branches`, what is in no
    branch is a unit for each layer."""
    found: dict[str, list[Operation]] = {}
    branch = branches(graph) if by_branches else {}
    for operation in inner_operations(graph):
        if operation.operator not in _MOVES_ONLY and (weights or not operation.has_weights):
            unit = branch.get(operation.index, operation.layer) if by_branches else _unit_of(operation.layer)
            found.setdefault(unit, []).append(operation)
    return {name: unit for name, unit in found.items() if not weights or any(op.has_weights for op in unit)}


def inner_operations(graph: Graph) -> list[Operation]:
    """All but those that read the pixels or give the probabilities, which are integers whatever else is float."""
    found = list(operations(graph))
    computed = {output for operation in found for output in operation.outputs}
    activations = {tensor for operation in found for tensor in operation.activations}
    return [op for op in found[:-1] if not (activations - computed) & set(op.activations)]


def _unit_of(layer: str) -> str:
    block, _, own = layer.rpartition(".")
    return layer if own in _OWN_UNIT or not block else block


def with_moves(graph: Graph, tensors: Iterable[str]) -> set[str]:
    """With the operations that only move values which float ones computed: between two of those, integers would
    round them."""
    kept = set(tensors)
    computed: dict[int, str] = {}
    for operation in operations(graph):
        sources = [computed.get(index) for index in operation.activations]
        if operation.operator in _MOVES_ONLY and sources and kept.issuperset(sources):
            kept.add(operation.tensor)
        computed.update(dict.fromkeys(operation.outputs, operation.tensor))
    return kept
