"""No tensor of more than four dimensions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from conversion.rules.changed import changed, values
from handmade import Handmade
from vitconv.conversion.rules import ranks, views
from vitconv.tflite import flatbuffer

FIVE = (1, 2, 3, 4, 5)
COUNT = int(np.prod(FIVE))


def sliced(made: Handmade, x: int) -> int:
    """x[:, 1, :, ::, 1:3]"""
    begin, end, steps = made.integers(0, 1, 0, 0, 1), made.integers(1, 2, 3, 4, 3), made.integers(1, 1, 1, 1, 1)
    options = schema.StridedSliceOptionsT(beginMask=0b01101, endMask=0b01101, shrinkAxisMask=0b00010)
    return made.computed("STRIDED_SLICE", [x, begin, end, steps], (1, 3, 4, 2), options)


def unpacked(made: Handmade, x: int) -> int:
    """The second of the two parts along axis 1."""
    parts = [made.tensor(1, 3, 4, 5), made.tensor(1, 3, 4, 5)]
    made.operator("UNPACK", [x], parts, schema.UnpackOptionsT(num=2, axis=1))
    return parts[1]


def packed(made: Handmade, x: int) -> int:
    part = unpacked(made, x)
    return made.computed("PACK", [part, part], (1, 3, 2, 4, 5), schema.PackOptionsT(valuesCount=2, axis=2))


def split(made: Handmade, x: int) -> int:
    parts = [made.tensor(1, 2, 3, 2, 5), made.tensor(1, 2, 3, 2, 5)]
    made.operator("SPLIT", [made.integers(3), x], parts, schema.SplitOptionsT(numSplits=2))
    return made.computed("CONCATENATION", parts[::-1], FIVE, schema.ConcatenationOptionsT(axis=3))


CASES: dict[str, Callable[[Handmade, int], int]] = {
    "transpose": lambda made, x: made.transposed(x, (0, 3, 4, 1, 2)),
    "transpose with an axis of length 1 between": lambda made, x: made.transposed(x, (3, 4, 0, 1, 2)),
    "bias": lambda made, x: made.arithmetic("ADD", x, made.constant(values(4, 5)), FIVE),
    "column": lambda made, x: made.arithmetic("MUL", x, made.constant(values(2, 3, 1, 1)), FIVE),
    "exponential": lambda made, x: made.computed("EXP", [x], FIVE),
    "softmax": lambda made, x: made.computed("SOFTMAX", [x], FIVE, schema.SoftmaxOptionsT(beta=1.0)),
    "dense": lambda made, x: made.dense(x, values(7, 5), values(7)),
    "mean": lambda made, x: made.reduced("MEAN", x, (2, 3), (1, 2, 1, 1, 5)),
    "sum": lambda made, x: made.reduced("SUM", x, (-1,), (1, 2, 3, 4, 1)),
    "product": lambda made, x: made.product(x, made.constant(values(1, 2, 3, 5, 6)), (1, 2, 3, 4, 6)),
    "product of one matrix with all": lambda made, x: made.product(
        x, made.constant(values(1, 1, 1, 5, 6)), (1, 2, 3, 4, 6)
    ),
    "slice": sliced,
    "unpack": unpacked,
    "pack": packed,
    "split": split,
}


@pytest.mark.parametrize("case", CASES)
def test_an_operator_of_five_dimensions_is_one_of_four(case: str) -> None:
    made = Handmade()
    five = made.reshaped(made.tensor(1, COUNT), *FIVE)
    output = CASES[case](made, five)
    count = int(np.prod(flatbuffer.tensor_shape(made.tensors[output])))
    result, _ = changed(made, made.reshaped(output, 1, count), ranks.lower, views.merge)
    assert max(len(flatbuffer.tensor_shape(tensor)) for tensor in result.model.subgraphs[0].tensors) <= 4


@pytest.mark.parametrize("order", [(4, 3, 2, 1, 0, 5), (2, 0, 3, 1, 4, 5), (5, 0, 4, 1, 3, 2), (1, 3, 5, 0, 2, 4)])
def test_a_transpose_of_more_groups_of_axes_is_several(order: tuple[int, ...]) -> None:
    made = Handmade()
    six = made.reshaped(made.tensor(1, 720), 2, 3, 4, 5, 3, 2)
    result, places = changed(made, made.reshaped(made.transposed(six, order), 1, 720), ranks.lower, views.merge)
    assert places[0] == 1
    assert max(len(flatbuffer.tensor_shape(tensor)) for tensor in result.model.subgraphs[0].tensors) <= 4


def test_what_cannot_be_told_in_four_axes_is_left_alone() -> None:
    made = Handmade()
    shape = (2, 3, 2, 3, 2)
    five = made.reshaped(made.tensor(1, 72), *shape)
    # Of each other axis one operand has length 1.
    other = made.constant(values(1, 3, 1, 3, 1))
    added = made.arithmetic("ADD", five, other, shape)
    _, places = changed(made, made.reshaped(added, 1, 72), ranks.lower)
    assert places == [0]
