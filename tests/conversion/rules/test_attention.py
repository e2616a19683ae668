"""Attention as a weighted sum that is divided at the end."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from conversion.rules.changed import changed, kinds, values
from handmade import Handmade
from vitconv.conversion.rules import attention
from vitconv.conversion.sketch import Sketch


def attended(made: Handmade, scores: int, tokens: int, shared: bool = False) -> int:
    weights = made.computed("SOFTMAX", [scores], (1, 2, 3, tokens), schema.SoftmaxOptionsT(beta=1.0))
    mixed = made.product(weights, made.constant(values(1, 2, tokens, 5)), (1, 2, 3, 5))
    if not shared:
        return mixed
    return made.arithmetic("ADD", mixed, made.reduced("SUM", weights, (3,), (1, 2, 3, 1)), (1, 2, 3, 5))


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("tokens", [2, 40])
def test_it_is_the_same_for_flat_and_for_sharp_scores(scale: float, tokens: int) -> None:
    made = Handmade()
    given = made.tensor(1, 2, 3, tokens)
    scores = made.arithmetic("MUL", given, made.constant([scale]), (1, 2, 3, tokens))
    result, places = changed(made, attended(made, scores, tokens), attention.shift)
    assert places == [1]
    assert "SOFTMAX" not in kinds(result)
    assert "ELU" in kinds(result)


def test_weights_that_others_read_and_a_single_token_are_left_alone() -> None:
    for tokens, shared in ((4, True), (1, False)):
        made = Handmade()
        output = attended(made, made.tensor(1, 2, 3, tokens), tokens, shared)
        assert attention.shift(Sketch(made.graph([output]))) == 0


def test_the_second_matrix_is_not_taken_for_the_weights() -> None:
    made = Handmade()
    weights = made.computed("SOFTMAX", [made.tensor(1, 2, 3, 4)], (1, 2, 3, 4), schema.SoftmaxOptionsT(beta=1.0))
    output = made.product(made.constant(np.ones((1, 2, 5, 3))), weights, (1, 2, 5, 4))
    assert attention.shift(Sketch(made.graph([output]))) == 0
