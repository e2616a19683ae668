"""Softmax found where it is spelt out, and spelt out by logarithms."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from conversion.rules.changed import changed, kinds
from handmade import Handmade
from vitconv.conversion.rules import softmax


def spelt_out(made: Handmade, axes: tuple[int, ...], shift: bool) -> int:
    """exp(x − log Σ exp(x − m) − m), as Keras writes it over several axes."""
    shape = (1, 2, 3, 4)
    row = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    given = below = made.tensor(*shape)
    if shift:
        peak = made.reduced("REDUCE_MAX", given, axes, row)
        below = made.arithmetic("SUB", given, peak, shape)
    total = made.reduced("SUM", made.computed("EXP", [below], shape), axes, row)
    log = made.computed("LOG", [total], row)
    if shift:
        log = made.arithmetic("ADD", log, peak, row)
    return made.computed("EXP", [made.arithmetic("SUB", given, log, shape)], shape)


@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize("axes", [(3,), (2, 3)])
def test_softmax_spelt_out_over_the_last_axes_is_one_operator(axes: tuple[int, ...], shift: bool) -> None:
    made = Handmade()
    result, places = changed(made, spelt_out(made, axes, shift), softmax.join)
    assert places == [1]
    assert kinds(result) <= {"SOFTMAX", "RESHAPE"}


def test_over_other_axes_it_is_left_as_it_is() -> None:
    made = Handmade()
    result, places = changed(made, spelt_out(made, (1,), True), softmax.join)
    assert places == [0]
    assert "SOFTMAX" not in kinds(result)


def test_a_sum_of_something_else_is_no_softmax() -> None:
    made = Handmade()
    given = made.tensor(1, 4)
    other = made.arithmetic("ADD", given, made.constant([0.1]), (1, 4))
    log = made.computed("LOG", [made.reduced("SUM", made.computed("EXP", [other], (1, 4)), (1,), (1, 1))], (1, 1))
    _result, places = changed(
        made, made.computed("EXP", [made.arithmetic("SUB", given, log, (1, 4))], (1, 4)), softmax.join
    )
    assert places == [0]


def test_exponentials_divided_by_their_sum_are_one_too() -> None:
    made = Handmade()
    raised = made.computed("EXP", [made.tensor(1, 3, 4)], (1, 3, 4))
    total = made.reduced("SUM", raised, (2,), (1, 3, 1))
    result, places = changed(made, made.arithmetic("DIV", raised, total, (1, 3, 4)), softmax.join)
    assert places == [1]
    assert kinds(result) == {"SOFTMAX"}


def test_a_map_s_softmax_is_written_by_logarithms_and_the_answer_s_is_not() -> None:
    made = Handmade()
    given = made.tensor(1, 3, 4)
    weights = made.computed("SOFTMAX", [given], (1, 3, 4), schema.SoftmaxOptionsT(beta=1.0))
    mixed = made.dense(weights, [[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])
    answer = made.computed("SOFTMAX", [mixed], (1, 3, 2), schema.SoftmaxOptionsT(beta=1.0))
    result, places = changed(made, answer, softmax.by_logarithms)
    assert places == [1]
    assert "SOFTMAX" in kinds(result)
    assert {"EXP", "LOG", "REDUCE_MAX"} <= kinds(result)


@pytest.mark.parametrize("turned", [True, False])
def test_a_map_that_is_normalised_a_second_time_is_a_softmax_of_its_logarithms(turned: bool) -> None:
    made = Handmade()
    raised = made.computed("EXP", [made.tensor(1, 2, 3, 4)], (1, 2, 3, 4))
    shape = (1, 2, 4, 3) if turned else (1, 2, 3, 4)
    weights = made.transposed(raised, (0, 1, 3, 2)) if turned else raised
    total = made.reduced("SUM", weights, (-1,), (*shape[:-1], 1))
    total = made.arithmetic("ADD", total, made.constant(np.array(1e-9)), (*shape[:-1], 1))
    result, places = changed(made, made.arithmetic("DIV", weights, total, shape), softmax.of_quotients)
    assert places == [1]
    assert kinds(result) == ({"TRANSPOSE", "SOFTMAX"} if turned else {"SOFTMAX"})
