"""NEG and SQUARE as products."""

from __future__ import annotations

from conversion.rules.changed import changed, kinds
from handmade import Handmade
from vitconv.conversion.rules import negations


def test_negation_and_square_are_products() -> None:
    made = Handmade()
    given = made.tensor(1, 3, 4)
    minus = made.computed("NEG", [given], (1, 3, 4))
    square = made.computed("SQUARE", [minus], (1, 3, 4))
    power = made.computed("POW", [square, made.constant(2.0)], (1, 3, 4))
    result, places = changed(made, power, negations.as_products)
    assert places == [3]
    assert kinds(result) == {"MUL"}
