"""Reshapes and transposes in a row."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from conversion.rules.changed import changed
from handmade import Handmade, operators
from vitconv.conversion.rules import views


def test_two_reshapes_are_one_and_one_without_effect_is_none() -> None:
    made = Handmade()
    given = made.tensor(1, 6, 4)
    back = made.reshaped(made.reshaped(given, 1, 2, 3, 4), 1, 6, 4)
    result, _ = changed(made, made.computed("EXP", [back], (1, 6, 4)), views.merge)
    assert operators(result) == ["EXP"]


def test_two_transposes_are_one_and_back_again_is_none() -> None:
    made = Handmade()
    given = made.tensor(1, 2, 3, 4)
    once = made.transposed(made.transposed(given, (0, 2, 1, 3)), (0, 1, 3, 2))
    result, _ = changed(made, made.computed("EXP", [once], (1, 3, 4, 2)), views.merge)
    assert operators(result) == ["TRANSPOSE", "EXP"]
    made = Handmade()
    given = made.tensor(1, 2, 3, 4)
    back = made.transposed(made.transposed(given, (0, 2, 1, 3)), (0, 2, 1, 3))
    result, _ = changed(made, made.computed("EXP", [back], (1, 2, 3, 4)), views.merge)
    assert operators(result) == ["EXP"]


def test_a_transpose_of_axes_of_length_1_is_a_reshape() -> None:
    made = Handmade()
    moved = made.transposed(made.tensor(1, 3, 1, 4), (2, 1, 0, 3))
    result, _ = changed(made, made.computed("EXP", [made.reshaped(moved, 3, 4)], (3, 4)), views.merge)
    assert operators(result) == ["RESHAPE", "EXP"]


def test_a_reshape_behind_a_softmax_goes_in_front_of_it() -> None:
    made = Handmade()
    given = made.reshaped(made.tensor(1, 2, 3, 4), 1, 6, 4)
    rows = made.computed("SOFTMAX", [given], (1, 6, 4), schema.SoftmaxOptionsT(beta=1.0))
    result, _ = changed(made, made.computed("EXP", [made.reshaped(rows, 1, 2, 3, 4)], (1, 2, 3, 4)), views.merge)
    assert operators(result) == ["SOFTMAX", "EXP"]
