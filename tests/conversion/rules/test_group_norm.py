"""Group normalisation as Keras writes it, before and after its tensors were brought to four dimensions."""

from __future__ import annotations

import numpy as np
import pytest

from conversion.rules.changed import changed, kinds, values
from handmade import Handmade
from vitconv.conversion.rules import group_norm, layer_norm, ranks, views
from vitconv.conversion.sketch import Sketch
from vitconv.tflite.graph import Graph

MAP, PIXELS, CHANNELS = (1, 4, 5, 12), 20, 12
GAMMA, BETA = values(CHANNELS), values(CHANNELS)
RELU = 1


def picture(made: Handmade) -> int:
    return made.arithmetic("ADD", made.tensor(*MAP), made.constant(3 * values(CHANNELS)), MAP)


def keras_form(made: Handmade, x: int, groups: int, epsilon: float, activation: int = 0) -> int:
    """In five dimensions: x · (r γ) + ((−m) · (r γ) + β)."""
    size = CHANNELS // groups
    split, each, channel = (1, 4, 5, groups, size), (1, 1, 1, groups, 1), (1, 1, 1, groups, size)
    x = made.reshaped(x, *split)
    mean = made.reduced("MEAN", x, (1, 2, 4), each)
    square = made.computed("SQUARED_DIFFERENCE", [x, mean], split)
    variance = made.reduced("MEAN", square, (1, 2, 4), each)
    root = made.computed("RSQRT", [made.arithmetic("ADD", variance, made.constant(np.array(epsilon)), each)], each)
    scale = made.arithmetic("MUL", root, made.constant(GAMMA.reshape(channel)), channel)
    moved = made.arithmetic("MUL", made.computed("NEG", [mean], each), scale, channel)
    moved = made.arithmetic("ADD", moved, made.constant(BETA.reshape(channel)), channel)
    whole = made.arithmetic("ADD", made.arithmetic("MUL", x, scale, split), moved, split, activation)
    return made.reshaped(whole, *MAP)


def flat_form(made: Handmade, x: int, groups: int, epsilon: float, activation: int = 0) -> int:
    """(x − m) · r over pixels and a group's channels, then γ and β on the map as it was."""
    split, each = (PIXELS, groups, CHANNELS // groups), (1, groups, 1)
    x = made.reshaped(x, *split)
    mean = made.reduced("MEAN", x, (0, 2), each)
    centred = made.arithmetic("SUB", x, mean, split)
    variance = made.reduced("MEAN", made.computed("SQUARE", [centred], split), (0, 2), each)
    root = made.computed("RSQRT", [made.arithmetic("ADD", variance, made.constant(np.array(epsilon)), each)], each)
    unit = made.reshaped(made.arithmetic("MUL", centred, root, split), *MAP)
    scaled = made.arithmetic("MUL", unit, made.constant(GAMMA), MAP)
    return made.arithmetic("ADD", scaled, made.constant(BETA), MAP, activation)


def rewritten(made: Handmade, output: int) -> tuple[Graph, list[int]]:
    return changed(made, output, ranks.lower, views.merge, layer_norm.without_epsilon, group_norm.without_epsilon)


@pytest.mark.parametrize("form", [keras_form, flat_form])
@pytest.mark.parametrize("groups", [1, 3, 12])
@pytest.mark.parametrize("activation", [0, RELU])
def test_each_way_to_write_it_becomes_magnitudes(form: object, groups: int, activation: int) -> None:
    made = Handmade()
    output = form(made, picture(made), groups, 1e-9, activation)  # type: ignore[operator]
    result, places = rewritten(made, output)
    assert places[-1] == 1
    assert not kinds(result) & {"RSQRT", "NEG", "SQUARE", "SQUARED_DIFFERENCE"}
    assert "LEAKY_RELU" in kinds(result)


def test_where_epsilon_counts_it_is_kept() -> None:
    made = Handmade()
    _, places = changed(made, flat_form(made, picture(made), 3, 0.5), group_norm.with_epsilon)
    assert places == [1]


def test_a_normalisation_of_rows_and_another_offset_are_left_alone() -> None:
    made = Handmade()
    x = made.reshaped(picture(made), 1, PIXELS, CHANNELS)
    mean = made.reduced("MEAN", x, (2,), (1, PIXELS, 1))
    square = made.computed("SQUARED_DIFFERENCE", [x, mean], (1, PIXELS, CHANNELS))
    variance = made.reduced("MEAN", square, (2,), (1, PIXELS, 1))
    added = made.arithmetic("ADD", variance, made.constant(np.array(1e-9)), (1, PIXELS, 1))
    root = made.computed("RSQRT", [added], (1, PIXELS, 1))
    centred = made.arithmetic("SUB", x, mean, (1, PIXELS, CHANNELS))
    output = made.arithmetic("MUL", centred, root, (1, PIXELS, CHANNELS))
    assert group_norm.without_epsilon(Sketch(made.graph([output]))) == 0

    made = Handmade()
    x = made.reshaped(picture(made), PIXELS, 3, 4)
    mean = made.reduced("MEAN", x, (0, 2), (1, 3, 1))
    square = made.computed("SQUARED_DIFFERENCE", [x, mean], (PIXELS, 3, 4))
    variance = made.reduced("MEAN", square, (0, 2), (1, 3, 1))
    added = made.arithmetic("ADD", variance, made.constant(np.array(1e-9)), (1, 3, 1))
    root = made.computed("RSQRT", [added], (1, 3, 1))
    output = made.arithmetic("MUL", x, root, (PIXELS, 3, 4))  # nothing is subtracted
    assert group_norm.without_epsilon(Sketch(made.graph([output]))) == 0
