"""Quotients and roots by logarithms."""

from __future__ import annotations

import numpy as np
import pytest

from conversion.rules.changed import changed, kinds
from handmade import Handmade
from vitconv.conversion.rules import divisions


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
    from vitconv.conversion.sketch import Sketch

    assert divisions.by_logarithms(Sketch(made.graph([quotient]))) == 0


def test_a_root_is_half_a_logarithm() -> None:
    made = Handmade()
    above_one = made.arithmetic("ADD", positive(made, (1, 3)), made.constant([1.0]), (1, 3))
    result, places = changed(made, made.computed("SQRT", [above_one], (1, 3)), divisions.roots)
    assert places == [1]
    assert "SQRT" not in kinds(result)
