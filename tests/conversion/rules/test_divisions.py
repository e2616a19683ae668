"""Quotients, roots and powers by logarithms."""

from __future__ import annotations

import numpy as np
import pytest

from conversion.rules.changed import changed, kinds
from handmade import Handmade, operators
from vitconv.conversion.rules import divisions
from vitconv.conversion.sketch import Sketch


def positive(made: Handmade, shape: tuple[int, ...]) -> int:
    return made.computed("EXP", [made.tensor(*shape)], shape)


@pytest.mark.parametrize("exponential", [True, False])
def test_a_quotient_of_what_is_computed_needs_no_division(exponential: bool) -> None:
    made = Handmade()
    raised = positive(made, (1, 3, 4))
    above = raised if exponential else made.arithmetic("ADD", raised, made.constant([1.0]), (1, 3, 4))
    total = made.reduced("SUM", raised, (2,), (1, 3, 1))
    result, places = changed(made, made.arithmetic("DIV", above, total, (1, 3, 4)), divisions.by_logarithms)
    assert places == [1]
    assert "DIV" not in kinds(result)
    assert ("MUL" in kinds(result)) is not exponential  # of an exponential, in the exponent


def test_a_quotient_by_a_constant_is_a_product_with_its_inverse() -> None:
    made = Handmade()
    given = made.tensor(1, 3, 4)
    by = made.constant(np.array([1.0, 2.0, 4.0, 8.0]))
    result, _ = changed(made, made.arithmetic("DIV", given, by, (1, 3, 4)), divisions.by_logarithms)
    assert kinds(result) == {"MUL"}


def test_division_by_a_constant_zero_is_left_alone() -> None:
    made = Handmade()
    quotient = made.arithmetic("DIV", made.tensor(1, 3), made.constant([0.0]), (1, 3))
    assert divisions.by_logarithms(Sketch(made.graph([quotient]))) == 0


@pytest.mark.parametrize("exponent", [None, 0.5, 1.5, -0.5])
def test_a_root_and_a_power_are_a_multiple_of_the_logarithm(exponent: float | None) -> None:
    made = Handmade()
    above_one = made.arithmetic("ADD", positive(made, (1, 3)), made.constant([1.0]), (1, 3))
    raised = (
        made.computed("SQRT", [above_one], (1, 3))
        if exponent is None
        else made.computed("POW", [above_one, made.constant(exponent)], (1, 3))
    )
    result, places = changed(made, raised, divisions.powers)
    assert places == [1]
    assert not {"SQRT", "POW"} & kinds(result)


def test_a_power_by_what_is_computed_is_left_alone_and_a_square_is_for_products() -> None:
    for exponent in ("computed", 2.0):
        made = Handmade()
        base = positive(made, (1, 3))
        by = base if exponent == "computed" else made.constant(exponent)
        assert divisions.powers(Sketch(made.graph([made.computed("POW", [base, by], (1, 3))]))) == 0


@pytest.mark.parametrize("floor", [None, 1e-6, 2.0])
def test_a_quotient_by_a_length_takes_no_logarithm_of_an_exponential(floor: float | None) -> None:
    made = Handmade()
    given = made.tensor(1, 3, 4)
    squares = made.arithmetic("MUL", given, given, (1, 3, 4))
    length = made.computed("SQRT", [made.reduced("SUM", squares, (2,), (1, 3, 1))], (1, 3, 1))
    below = length
    if floor is not None:
        below = made.arithmetic("MAXIMUM", made.reshaped(length, 1, 1, 3), made.constant([floor]), (1, 1, 3))
        below = made.reshaped(below, 1, 3, 1)
    quotient = made.arithmetic("DIV", given, below, (1, 3, 4))
    rules = (divisions.by_logarithms, divisions.powers, divisions.logarithms)
    result, places = changed(made, quotient, *rules)
    assert places == [1, 1, 1]
    assert operators(result).count("LOG") == 1
    assert operators(result).count("EXP") == 1


@pytest.mark.parametrize("floor", [[0.5, 1.0], [-1.0]])
def test_the_logarithm_of_anything_else_stays(floor: list[float]) -> None:
    made = Handmade()
    above = made.arithmetic("MAXIMUM", positive(made, (1, 2)), made.constant(floor), (1, 2))
    assert divisions.logarithms(Sketch(made.graph([made.computed("LOG", [above], (1, 2))]))) == 0
