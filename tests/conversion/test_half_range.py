"""Layer normalisations whose squares leave 16 bits, and the same written so that they do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from conversion.rules.test_layer_norm import FORMS, SHAPE, plain_form
from handmade import Handmade, operators, run
from vitconv.conversion.half_range import within_half_range
from vitconv.evaluation.other_runtimes.half_precision import half_precision
from vitconv.tflite.graph import Graph

Form = Callable[[Handmade, int, float], int]
PICTURES = np.abs(np.random.default_rng(3).normal(0, 100, (4, *SHAPE[1:]))).astype(np.float32)


def normalising(form: Form, factor: float) -> Graph:
    """Of so many times the picture, and something behind it."""
    made = Handmade()
    x = made.arithmetic("MUL", made.tensor(*SHAPE, name="image"), made.constant([factor]), SHAPE)
    return made.graph([made.computed("TANH", [form(made, x, 1e-3)], SHAPE)])


def answers(graph: Graph) -> np.ndarray:
    return np.stack([run(graph, picture[np.newaxis])[0].ravel() for picture in PICTURES]).astype(np.float64)


def in_16_bits(graph: Graph) -> tuple[str, ...]:
    return half_precision(graph, PICTURES, answers(graph)).reasons


@pytest.mark.parametrize("form", FORMS)
def test_squares_that_overflow_are_made_smaller_in_every_library_s_form(form: Form) -> None:
    graph = normalising(form, 3.0)
    assert any("overflow" in reason for reason in in_16_bits(graph))
    changed = within_half_range(graph, PICTURES)
    assert in_16_bits(changed) == ()
    np.testing.assert_allclose(answers(changed), answers(graph), atol=2e-6)


def test_what_stays_within_16_bits_is_left_as_it_is() -> None:
    graph = normalising(plain_form, 0.1)
    assert within_half_range(graph, PICTURES) is graph
    nothing = Handmade()
    other = nothing.graph([nothing.computed("TANH", [nothing.tensor(*SHAPE)], SHAPE)])
    assert within_half_range(other, PICTURES) is other


def test_sums_have_room_for_pictures_with_larger_ones() -> None:
    """These are below the limit, by less than twice."""
    graph = normalising(plain_form, 0.1)
    rows = 0.1 * PICTURES
    largest = np.square(rows - rows.mean(axis=-1, keepdims=True)).sum(axis=-1).max()
    near = normalising(plain_form, 0.1 * float(np.sqrt(0.75 * 65504 / largest)))
    changed = within_half_range(near, PICTURES)
    assert len(operators(changed)) == len(operators(graph)) + 1
    assert operators(changed).count("SQUARE") == 1


def test_a_normalisation_without_scale_and_shift_gets_one_operation_more() -> None:
    def bare(made: Handmade, x: int, epsilon: float) -> int:
        mean = made.reduced("MEAN", x, (2,), (1, 5, 1))
        around = made.arithmetic("SUB", x, mean, SHAPE)
        variance = made.reduced("MEAN", made.computed("SQUARE", [around], SHAPE), (2,), (1, 5, 1))
        added = made.arithmetic("ADD", variance, made.constant(np.array(epsilon)), (1, 5, 1))
        return made.arithmetic("MUL", around, made.computed("RSQRT", [added], (1, 5, 1)), SHAPE)

    graph = normalising(bare, 3.0)
    changed = within_half_range(graph, PICTURES)
    assert len(operators(changed)) == len(operators(graph)) + 1
    np.testing.assert_allclose(answers(changed), answers(graph), atol=2e-6)
