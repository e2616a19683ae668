"""Units of other people's graphs: what lies between residual sums."""

from __future__ import annotations

import numpy as np

from handmade import Handmade
from vitconv.conversion.compaction import compact
from vitconv.quantization.hybrid.branches import branches
from vitconv.quantization.hybrid.units import units
from vitconv.tflite.layer_names import operations

SHAPE = (1, 6, 8)


def dense(made: Handmade, source: int, layer: str) -> int:
    """A dense layer of eight outputs, and a tanh behind it in the same layer."""
    output = made.dense(source, np.eye(8) + 0.1)
    made.tensors[output].name = f"model_1/{layer}_1/MatMul"
    activated = made.computed("TANH", [output], SHAPE)
    made.tensors[activated].name = f"model_1/{layer}_1/Tanh"
    return activated


def added(made: Handmade, first: int, second: int) -> int:
    output = made.arithmetic("ADD", first, second, SHAPE)
    made.tensors[output].name = "model_1/add_1/Add"
    return output


def residual() -> Handmade:
    """stem, x + b(a(x)), x + d(x) inside x + e(…), head."""
    made = Handmade()
    x = dense(made, made.tensor(*SHAPE), "stem")
    x = added(made, x, dense(made, dense(made, x, "body/block0/a"), "body/block0/b"))
    inner = added(made, x, dense(made, x, "body/block1/d"))
    x = added(made, dense(made, inner, "body/block1/e"), x)
    dense(made, x, "head")
    return made


def layers_of(units: dict[str, list[object]]) -> dict[str, set[str]]:
    return {name: {operation.layer for operation in unit} for name, unit in units.items()}  # type: ignore[attr-defined]


def test_a_branch_is_a_unit_and_the_innermost_counts() -> None:
    made = residual()
    graph = compact(made.graph([len(made.tensors) - 1]), nested=True)
    found = branches(graph)
    named = {operation.layer: found.get(operation.index) for operation in operations(graph)}
    assert named["body.block0.a"] == named["body.block0.b"] == "body.block0"
    assert named["body.block1.d"] == "body.block1.d"
    assert named["body.block1.e"] not in (None, "body.block1.d", "body.block0")
    assert named["stem"] is None
    assert named["head"] is None


def test_units_of_others_are_branches_and_layers_beside_them() -> None:
    made = residual()
    graph = compact(made.graph([len(made.tensors) - 1]), nested=True)
    found = units(graph, True, by_branches=True)
    assert layers_of(dict(found))["body.block0"] == {"body.block0.a", "body.block0.b"}
    ours = units(graph, True)
    assert "body.block0" in ours  # by names alone


def test_branches_of_flat_names_are_told_by_their_first_and_last_layer() -> None:
    made = Handmade()
    x = dense(made, made.tensor(*SHAPE), "stem")
    x = added(made, x, dense(made, dense(made, x, "dense_1"), "dense_2"))
    x = added(made, dense(made, x, "dense_3"), x)
    dense(made, x, "head")
    graph = compact(made.graph([len(made.tensors) - 1]), nested=True)
    assert set(branches(graph).values()) == {"dense_1…dense_2", "dense_3"}


def test_a_sum_of_two_that_share_nothing_and_one_without_a_kernel_are_no_branches() -> None:
    made = Handmade()
    x = dense(made, made.tensor(*SHAPE), "stem")
    mean = made.computed("TANH", [x], SHAPE)
    made.tensors[mean].name = "model_1/tanh_1/Tanh"
    dense(made, added(made, x, mean), "head")
    assert branches(compact(made.graph([len(made.tensors) - 1]), nested=True)) == {}
