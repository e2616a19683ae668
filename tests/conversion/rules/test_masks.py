"""Masks of attention as zeros and ones."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from conversion.rules.changed import changed, kinds, values
from handmade import Handmade
from vitconv.conversion.rules import attention, masks
from vitconv.conversion.sketch import Sketch
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

SHAPE, TOKENS = (1, 2, 6, 6), 6
CAUSAL = np.tril(np.ones((1, 1, TOKENS, TOKENS), bool))
FAR_BELOW = (-100.0, -1e9, float(np.finfo(np.float32).min) * 0.7)


def added(made: Handmade, scores: int, keep: np.ndarray, number: float) -> int:
    return made.arithmetic("ADD", scores, made.constant(np.where(keep, 0, number)), SHAPE)


def selected(made: Handmade, scores: int, keep: np.ndarray, number: float) -> int:
    operands = [made.booleans(keep), scores, made.constant(np.full((1, 1, 1, 1), number))]
    return made.computed("SELECT_V2", operands, SHAPE, schema.SelectV2OptionsT())


def softmax(made: Handmade, scores: int, shape: tuple[int, ...] = SHAPE) -> int:
    return made.computed("SOFTMAX", [scores], shape, schema.SoftmaxOptionsT(beta=1.0))


def scaled(made: Handmade, factor: float = 3.0) -> int:
    return made.arithmetic("MUL", made.tensor(*SHAPE), made.constant([factor]), SHAPE)


def largest_constant(graph: Graph) -> float:
    model = graph.model
    found = [
        np.abs(np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32)).max()
        for tensor in model.subgraphs[0].tensors
        if flatbuffer.is_constant(model, tensor) and flatbuffer.tensor_dtype(tensor) == "float32"
    ]
    return float(max(found))


@pytest.mark.parametrize("number", FAR_BELOW)
@pytest.mark.parametrize("write", [added, selected])
def test_attention_takes_a_mask_as_factors(write: object, number: float) -> None:
    made = Handmade()
    weights = softmax(made, write(made, scaled(made), CAUSAL, number))  # type: ignore[operator]
    output = made.product(weights, made.constant(values(1, 2, TOKENS, 5)), (1, 2, TOKENS, 5))
    result, places = changed(made, output, attention.shift, masks.bound)
    assert places == [1, 0]
    assert not kinds(result) & {"SOFTMAX", "SELECT_V2"}
    assert largest_constant(result) <= masks.FAR


def test_a_mask_behind_a_reshape_is_found() -> None:
    """As of windows: the mask differs between them, and stands on an axis that is merged with the heads'."""
    keep = np.stack([CAUSAL[0, 0], CAUSAL[0, 0].T]).reshape(1, 2, TOKENS, TOKENS)
    made = Handmade()
    scores = made.reshaped(added(made, scaled(made), keep, -1e9), 2, 1, TOKENS, TOKENS)
    weights = softmax(made, scores, (2, 1, TOKENS, TOKENS))
    output = made.product(weights, made.constant(values(2, 1, TOKENS, 5)), (2, 1, TOKENS, 5))
    result, places = changed(made, output, attention.shift)
    assert places == [1]
    assert largest_constant(result) <= masks.FAR


@pytest.mark.parametrize("write", [added, selected])
def test_a_softmax_elsewhere_gets_numbers_that_are_no_larger_than_needed(write: object) -> None:
    made = Handmade()
    output = softmax(made, write(made, scaled(made), CAUSAL, -1e9))  # type: ignore[operator]
    result, places = changed(made, output, masks.bound)
    assert places == [1]
    assert largest_constant(result) <= masks.FAR


def test_a_row_without_anything_left_a_bias_and_a_constant_that_hides_nothing_are_left_alone() -> None:
    nothing_left = CAUSAL.copy()
    nothing_left[..., 0, :] = False
    for mask in (np.where(nothing_left, 0, -1e9), np.where(CAUSAL, 0.5, -1e9), np.zeros((1, 1, TOKENS, TOKENS))):
        made = Handmade()
        scores = made.arithmetic("ADD", scaled(made), made.constant(mask), SHAPE)
        assert masks.bound(Sketch(made.graph([softmax(made, scores)]))) == 0


@pytest.mark.parametrize("write", [added, selected])
@pytest.mark.parametrize("factor", [True, False])
def test_a_mask_in_front_of_a_transpose_and_again_behind_the_softmax_is_one(write: object, factor: bool) -> None:
    """As Keras's attention with dropout writes it: queries and keys are exchanged between mask and softmax."""
    made = Handmade()
    turned_mask = CAUSAL.transpose(0, 1, 3, 2)
    masked = write(made, scaled(made), turned_mask, -1e9)  # type: ignore[operator]
    scores = made.transposed(masked, (0, 1, 3, 2))
    weights = softmax(made, scores)
    if factor:
        weights = made.arithmetic("MUL", weights, made.constant(CAUSAL.astype(np.float32)), SHAPE)
    output = made.product(weights, made.constant(values(1, 2, TOKENS, 5)), (1, 2, TOKENS, 5))
    result, places = changed(made, output, masks.gather, attention.shift)
    assert places == [2 if factor else 1, 1]
    assert not kinds(result) & {"SOFTMAX", "SELECT_V2"}
    assert largest_constant(result) <= masks.FAR


def test_a_factor_that_is_more_than_the_mask_stays() -> None:
    """Halves, and a mask of its own, change the weights that count."""
    other = CAUSAL.copy()
    other[..., -1, 0] = False
    for factors in (0.5 * CAUSAL, other):
        made = Handmade()
        weights = softmax(made, added(made, scaled(made), CAUSAL, -1e9))
        weights = made.arithmetic("MUL", weights, made.constant(factors.astype(np.float32)), SHAPE)
        output = made.product(weights, made.constant(values(1, 2, TOKENS, 5)), (1, 2, TOKENS, 5))
        assert masks.gather(Sketch(made.graph([output]))) == 0
