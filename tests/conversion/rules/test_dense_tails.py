"""Biases and factors behind a dense layer, in it."""

from __future__ import annotations

import numpy as np

from conversion.rules.changed import changed, values
from handmade import Handmade, operators
from vitconv.conversion.rules import dense_tails


def test_a_bias_and_a_factor_behind_a_reshape_go_into_the_layer() -> None:
    made = Handmade()
    heads = made.reshaped(made.dense(made.tensor(1, 5, 4), values(6, 4)), 1, 5, 2, 3)
    added = made.arithmetic("ADD", heads, made.constant(values(2, 3)), (1, 5, 2, 3))
    scaled = made.arithmetic("MUL", added, made.constant([0.25]), (1, 5, 2, 3))
    output = made.computed("EXP", [scaled], (1, 5, 2, 3))
    result, places = changed(made, output, dense_tails.fold)
    assert places == [2]
    assert operators(result) == ["FULLY_CONNECTED", "RESHAPE", "EXP"]


def test_what_differs_between_tokens_is_no_bias() -> None:
    made = Handmade()
    tokens = made.dense(made.tensor(1, 5, 4), values(6, 4))
    added = made.arithmetic("ADD", tokens, made.constant(values(5, 6)), (1, 5, 6))
    _result, places = changed(made, made.computed("EXP", [added], (1, 5, 6)), dense_tails.fold)
    assert places == [0]


def test_a_layer_that_others_read_keeps_its_bias() -> None:
    made = Handmade()
    tokens = made.dense(made.tensor(1, 5, 4), values(6, 4))
    added = made.arithmetic("ADD", tokens, made.constant(np.arange(6.0)), (1, 5, 6))
    _result, places = changed(made, made.arithmetic("MUL", added, tokens, (1, 5, 6)), dense_tails.fold)
    assert places == [0]
