"""What a network does to its pixels first, folded into its first convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converted import float_graph, images
from handmade import Handmade, operators, run
from vitconv.conversion import float_graph as conversion
from vitconv.conversion import schemes
from vitconv.conversion.folding import fold_pixel_scaling
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

RANDOM = np.random.default_rng(5)
PIXELS = (1, 8, 8, 3)
PICTURE = RANDOM.integers(0, 256, PIXELS)
KERNEL = RANDOM.normal(0, 0.1, (4, 2, 2, 3))
BIAS = RANDOM.normal(0, 1, 4)


def same_answers(first: Graph, second: Graph, picture: np.ndarray = PICTURE) -> None:
    for one, other in zip(run(first, picture), run(second, picture), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


# --- our own networks ---


def test_the_first_operators_go_and_the_function_stays() -> None:
    graph = float_graph("eanet", "float32")
    assert operators(graph)[:3] == ["SUB", "MUL", "CONV_2D"]
    result = fold_pixel_scaling(graph)
    assert operators(result) == operators(graph)[2:]
    for picture in images("eanet", 4):
        (expected,), (answer,) = run(graph, picture[np.newaxis]), run(result, picture[np.newaxis])
        np.testing.assert_allclose(answer, expected, atol=1e-5)
    assert fold_pixel_scaling(result) is result


@pytest.mark.parametrize("name", ["eanet", "mobilevit_xxs"])
def test_integer_graphs_start_with_the_convolution(name: str) -> None:
    for scheme in ("int8", "int8-hybrid"):
        assert operators(float_graph(name, scheme))[0] == "CONV_2D"


def test_a_shift_before_padded_zeros_is_left_alone() -> None:
    """There a padded zero means the mean, not black."""
    import keras

    model = keras.Sequential([
        keras.Input((8, 8, 3)),
        keras.layers.Rescaling(1 / 127.5, offset=-1),
        keras.layers.Conv2D(4, 3, padding="same"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Softmax(),
    ])  # fmt: skip
    graph = conversion.convert_float(model, schemes.find("float32"))
    assert operators(graph)[0] != "CONV_2D"
    assert fold_pixel_scaling(graph) is graph


# --- graphs of other tools ---


def scaled(
    *steps: tuple[str, Any],
    bias: int | None = 0,
    biases: np.ndarray = BIAS,
    stride: int = 2,
    same: bool = False,
) -> Graph:
    """Pixels, each step (an operator's name and its constant; "C-" and "C/": the constant first), a convolution.

    bias: 0 for one, None for none at all, -1 for one that says so.
    """
    made = Handmade()
    place = made.tensor(*PIXELS, name="image")
    for name, values in steps:
        constant = made.constant(values)
        operator = {"C-": "SUB", "C/": "DIV"}.get(name, name.removeprefix("C"))
        pair = (constant, place) if name.startswith("C") else (place, constant)
        place = made.arithmetic(operator, *pair, PIXELS)
    kernel = made.constant(KERNEL)
    size = 8 // stride if same or stride == 2 else 7
    biased = made.constant(biases) if bias == 0 else bias
    return made.graph([made.convolution(place, kernel, biased, (1, size, size, 4), stride, same)])


MEAN, DEVIATION = [120.0, 115.0, 100.0], [60.0, 57.0, 55.0]


@pytest.mark.parametrize(
    "steps",
    [
        [("SUB", MEAN), ("MUL", [1 / value for value in DEVIATION])],
        [("ADD", [-value for value in MEAN]), ("MUL", 1 / 58)],
        [("MUL", 1 / 127.5), ("ADD", -1.0)],
        [("MUL", 1 / 255), ("SUB", [[[[0.485, 0.456, 0.406]]]]), ("DIV", [[[[0.229, 0.224, 0.225]]]])],
        [("DIV", 255.0)],
        [("CADD", -127.0), ("CMUL", [[1 / 127]])],
        [("C-", 255.0), ("MUL", 1 / 255)],  # a negative
        [("ADD", 3.0), ("C-", MEAN), ("DIV", DEVIATION), ("ADD", [0.1, 0.2, 0.3])],
    ],
    ids=str,
)
def test_any_scaling_is_folded(steps: list[tuple[str, Any]]) -> None:
    graph = scaled(*steps)
    before = flatbuffer.serialize(graph.model)
    result = fold_pixel_scaling(graph)
    assert operators(result) == ["CONV_2D"]
    same_answers(graph, Graph.parse(result.data, "folded"))
    assert flatbuffer.serialize(graph.model) == before


@pytest.mark.parametrize("bias", [None, -1])
@pytest.mark.parametrize("step", [("MUL", 0.5), ("ADD", 0.5), ("SUB", MEAN)], ids=str)
def test_a_convolution_without_bias_gets_one(step: tuple[str, Any], bias: int | None) -> None:
    """LiteRT itself runs none without, so that the same one with zeros is what is compared."""
    result = fold_pixel_scaling(scaled(step, bias=bias))
    assert operators(result) == ["CONV_2D"]
    same_answers(scaled(step, bias=0, biases=np.zeros(4)), result)


def test_a_sum_is_folded_where_same_padding_pads_nothing() -> None:
    graph = scaled(("SUB", MEAN), stride=2, same=True)  # a kernel of 2 by steps of 2 over 8
    result = fold_pixel_scaling(graph)
    assert operators(result) == ["CONV_2D"]
    same_answers(graph, result)
    padded = scaled(("SUB", MEAN), stride=1, same=True)
    assert fold_pixel_scaling(padded) is padded
    product = scaled(("MUL", 0.25), stride=1, same=True)
    assert operators(fold_pixel_scaling(product)) == ["CONV_2D"]
    same_answers(product, fold_pixel_scaling(product))


@pytest.mark.parametrize(
    "constant",
    [
        RANDOM.uniform(0, 255, PIXELS),
        RANDOM.uniform(0, 255, (8, 8, 3)),
        RANDOM.uniform(0, 255, (8, 8, 1)),
        RANDOM.uniform(0, 255, (1, 1, 8, 1)),
        RANDOM.uniform(0, 255, (8, 1, 3)),
    ],
    ids=lambda constant: str(constant.shape),
)
@pytest.mark.parametrize("operator", ["SUB", "ADD", "MUL"])
def test_a_mean_image_is_left_alone(operator: str, constant: np.ndarray) -> None:
    """A value of its own for each pixel, or row, fits no kernel that all share."""
    graph = scaled((operator, constant))
    assert fold_pixel_scaling(graph) is graph


def test_a_kernel_as_large_as_the_picture_is_no_reason_to_fold_a_mean_image() -> None:
    made = Handmade()
    image, mean = made.tensor(*PIXELS), made.constant(RANDOM.uniform(0, 255, PIXELS))
    pixels = made.arithmetic("SUB", image, mean, PIXELS)
    kernel = made.constant(RANDOM.normal(0, 1, (4, 8, 8, 3)))
    graph = made.graph([made.convolution(pixels, kernel, made.constant(BIAS), (1, 1, 1, 4))])
    assert fold_pixel_scaling(graph) is graph


def odd(change: Callable[[Handmade, int], int]) -> Graph:
    """Pixels, a scaling and what `change` does with the scaled pixels, a convolution of what that gives."""
    made = Handmade()
    image = made.tensor(*PIXELS, name="image")
    place = change(made, image)
    kernel, bias = made.constant(KERNEL), made.constant(BIAS)
    return made.graph([made.convolution(place, kernel, bias, (1, 4, 4, 4), stride=2)])


ODD: dict[str, Callable[[Handmade, int], int]] = {
    "an activation behind a sum": lambda made, image: made.arithmetic(
        "SUB", image, made.constant(MEAN), PIXELS, schema.ActivationFunctionType.RELU
    ),
    "pixels divide": lambda made, image: made.arithmetic("DIV", made.constant(1.0), image, PIXELS),
    "division by zero": lambda made, image: made.arithmetic("DIV", image, made.constant([1.0, 0.0, 2.0]), PIXELS),
    "pixels times themselves": lambda made, image: made.arithmetic("MUL", image, image, PIXELS),
    "a sum of two computed tensors": lambda made, image: made.arithmetic(
        "ADD", image, made.arithmetic("MUL", image, made.constant(0.5), PIXELS), PIXELS
    ),
    "weights beyond float32": lambda made, image: made.arithmetic(
        "MUL", made.arithmetic("MUL", image, made.constant(1e30), PIXELS), made.constant(1e30), PIXELS
    ),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_scaling_is_left_alone(kind: str) -> None:
    graph = odd(ODD[kind])
    assert fold_pixel_scaling(graph) is graph


def test_scaled_pixels_that_somebody_else_needs_are_kept() -> None:
    made = Handmade()
    image = made.tensor(*PIXELS)
    pixels = made.arithmetic("MUL", image, made.constant(0.5), PIXELS)
    kernel, bias = made.constant(KERNEL), made.constant(BIAS)
    result = made.convolution(pixels, kernel, bias, (1, 4, 4, 4), stride=2)
    as_output = made.graph([result, pixels])
    assert fold_pixel_scaling(as_output) is as_output


def test_a_kernel_that_two_convolutions_share_is_changed_for_one_only() -> None:
    made = Handmade()
    image = made.tensor(1, 8, 8, 3)
    pixels = made.arithmetic("SUB", image, made.constant(MEAN), PIXELS)
    kernel, bias = made.constant(RANDOM.normal(0, 0.1, (3, 1, 1, 3))), made.constant([0.1, 0.2, 0.3])
    first = made.convolution(pixels, kernel, bias, PIXELS)
    second = made.convolution(first, kernel, bias, PIXELS)
    graph = made.graph([second])
    result = fold_pixel_scaling(graph)
    assert operators(result) == ["CONV_2D", "CONV_2D"]
    same_answers(graph, result)


def test_a_picture_of_one_channel_that_a_constant_makes_three_of_is_left_alone() -> None:
    made = Handmade()
    image = made.tensor(1, 8, 8, 1)
    pixels = made.arithmetic("SUB", image, made.constant(MEAN), PIXELS)
    kernel, bias = made.constant(KERNEL), made.constant(BIAS)
    graph = made.graph([made.convolution(pixels, kernel, bias, (1, 4, 4, 4), stride=2)])
    assert fold_pixel_scaling(graph) is graph


def test_a_grouped_convolution_takes_one_factor_and_not_one_a_channel() -> None:
    kernel = RANDOM.normal(0, 0.1, (6, 2, 2, 1))
    for constant, folds in ((0.5, True), ([0.1, 0.2, 0.3], False)):
        made = Handmade()
        pixels = made.arithmetic("MUL", made.tensor(*PIXELS), made.constant(constant), PIXELS)
        filters, bias = made.constant(kernel), made.constant(np.zeros(6))
        graph = made.graph([made.convolution(pixels, filters, bias, (1, 4, 4, 6), stride=2)])
        result = fold_pixel_scaling(graph)
        assert (operators(result) == ["CONV_2D"]) == folds
        same_answers(graph, result)


def test_two_inputs_and_a_graph_without_operators_are_left_alone() -> None:
    made = Handmade()
    first, second = made.tensor(*PIXELS), made.tensor(*PIXELS)
    both = made.graph([made.arithmetic("ADD", first, second, PIXELS)], inputs=(0, 1))
    assert fold_pixel_scaling(both) is both
    made = Handmade()
    hollow = made.graph([made.tensor(*PIXELS)])
    assert fold_pixel_scaling(hollow) is hollow


def test_further_subgraphs_do_no_harm() -> None:
    made = Handmade()
    image = made.tensor(*PIXELS)
    pixels = made.arithmetic("ADD", image, made.constant(-127.0), PIXELS)
    result = made.convolution(pixels, made.constant(KERNEL), made.constant(BIAS), (1, 4, 4, 4), stride=2)
    other = Handmade()
    branch = other.subgraph([other.tensor(1)], [0], name="branch")
    graph = made.graph([result], others=(branch,))
    folded = fold_pixel_scaling(graph)
    assert operators(folded) == ["CONV_2D"]
    assert len(folded.model.subgraphs) == 2
    same_answers(graph, folded)
