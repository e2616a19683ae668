"""Layer normalisation and RMS normalisation as four libraries write them."""

from __future__ import annotations

import numpy as np
import pytest

from conversion.rules.changed import changed, kinds, values
from handmade import Handmade
from vitconv.conversion.rules import layer_norm
from vitconv.conversion.sketch import Sketch

SHAPE, ROW, CHANNELS = (1, 5, 8), (1, 5, 1), 8
GAMMA, BETA = values(CHANNELS), values(CHANNELS)


def token(made: Handmade) -> int:
    return made.arithmetic("ADD", made.tensor(*SHAPE), made.constant(3 * values(CHANNELS)), SHAPE)


def root(made: Handmade, variance: int, epsilon: float) -> int:
    return made.computed("RSQRT", [made.arithmetic("ADD", variance, made.constant(np.array(epsilon)), ROW)], ROW)


def spread(made: Handmade, x: int, epsilon: float) -> tuple[int, int]:
    """The mean and the reciprocal root of the variance."""
    mean = made.reduced("MEAN", x, (2,), ROW)
    square = made.computed("SQUARED_DIFFERENCE", [x, mean], SHAPE)
    return mean, root(made, made.reduced("MEAN", square, (2,), ROW), epsilon)


def keras_form(made: Handmade, x: int, epsilon: float) -> int:
    """x · (r γ) + ((−m) · (r γ) + β)"""
    mean, r = spread(made, x, epsilon)
    scale = made.arithmetic("MUL", r, made.constant(GAMMA.reshape(1, 1, -1)), SHAPE)
    moved = made.arithmetic("MUL", made.computed("NEG", [mean], ROW), scale, SHAPE)
    moved = made.arithmetic("ADD", moved, made.constant(BETA.reshape(1, 1, -1)), SHAPE)
    return made.arithmetic("ADD", made.arithmetic("MUL", x, scale, SHAPE), moved, SHAPE)


def plain_form(made: Handmade, x: int, epsilon: float) -> int:
    """(x − m) · r · γ + β"""
    mean, r = spread(made, x, epsilon)
    unit = made.arithmetic("MUL", made.arithmetic("SUB", x, mean, SHAPE), r, SHAPE)
    scaled = made.arithmetic("MUL", unit, made.constant(GAMMA), SHAPE)
    return made.arithmetic("ADD", scaled, made.constant(BETA), SHAPE)


def torch_form(made: Handmade, x: int, epsilon: float) -> int:
    """x · r + (0 − r · m), by means as sums, and reshapes between"""
    eighth = made.constant([1 / CHANNELS])
    mean = made.reshaped(made.arithmetic("MUL", made.reduced("SUM", x, (-1,), ROW), eighth, ROW), *ROW)
    square = made.computed("SQUARED_DIFFERENCE", [x, mean], SHAPE)
    r = root(made, made.arithmetic("MUL", made.reduced("SUM", square, (2,), ROW), eighth, ROW), epsilon)
    moved = made.arithmetic("SUB", made.constant([0.0]), made.arithmetic("MUL", r, mean, ROW), ROW)
    return made.arithmetic("ADD", made.arithmetic("MUL", x, r, SHAPE), moved, SHAPE)


def moments_form(made: Handmade, x: int, epsilon: float) -> int:
    """(x − m) / √(mean(x²) − m² + ε)"""
    mean = made.reduced("MEAN", x, (2,), ROW)
    whole = made.reduced("MEAN", made.computed("SQUARE", [x], SHAPE), (2,), ROW)
    variance = made.arithmetic("SUB", whole, made.arithmetic("MUL", mean, mean, ROW), ROW)
    added = made.arithmetic("ADD", variance, made.constant(np.array(epsilon)), ROW)
    deviation = made.computed("SQRT", [added], ROW)
    return made.arithmetic("DIV", made.arithmetic("SUB", x, mean, SHAPE), deviation, SHAPE)


def rms_form(made: Handmade, x: int, epsilon: float) -> int:
    """x · r · γ with r = 1/√(mean(x²) + ε)"""
    square = made.arithmetic("MUL", x, x, SHAPE)
    r = root(made, made.reduced("MEAN", square, (2,), ROW), epsilon)
    return made.arithmetic("MUL", made.arithmetic("MUL", x, r, SHAPE), made.constant(GAMMA), SHAPE)


FORMS = [keras_form, plain_form, torch_form, moments_form, rms_form]


@pytest.mark.parametrize("form", FORMS)
def test_every_library_s_form_is_written_by_magnitudes(form: object) -> None:
    made = Handmade()
    normed = form(made, token(made), 1e-12)  # type: ignore[operator]
    result, places = changed(made, made.computed("EXP", [normed], SHAPE), layer_norm.without_epsilon)
    assert places == [1]
    assert not kinds(result) & {"NEG", "RSQRT", "SQRT", "DIV", "SQUARED_DIFFERENCE"}


@pytest.mark.parametrize("form", FORMS)
def test_a_large_epsilon_can_be_kept(form: object) -> None:
    made = Handmade()
    normed = form(made, token(made), 0.5)  # type: ignore[operator]
    _, places = changed(made, made.computed("TANH", [normed], SHAPE), layer_norm.with_epsilon)
    assert places == [1]


def test_half_of_the_mean_is_no_normalisation() -> None:
    made = Handmade()
    x = token(made)
    mean, r = spread(made, x, 1e-6)
    half = made.arithmetic("MUL", mean, made.constant([0.5]), ROW)
    wrong = made.arithmetic("MUL", made.arithmetic("SUB", x, half, SHAPE), r, SHAPE)
    assert layer_norm.without_epsilon(Sketch(made.graph([wrong]))) == 0


def test_means_over_another_axis_are_no_layer_normalisation() -> None:
    made = Handmade()
    x, column = token(made), (1, 1, 8)
    mean = made.reduced("MEAN", x, (1,), column)
    square = made.computed("SQUARED_DIFFERENCE", [x, mean], SHAPE)
    variance = made.reduced("MEAN", square, (1,), column)
    added = made.arithmetic("ADD", variance, made.constant(np.array(1e-6)), column)
    r = made.computed("RSQRT", [added], column)
    unit = made.arithmetic("MUL", made.arithmetic("SUB", x, mean, SHAPE), r, SHAPE)
    assert layer_norm.without_epsilon(Sketch(made.graph([unit]))) == 0
