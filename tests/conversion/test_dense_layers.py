"""Dense layers over tokens as convolutions: the same answers, and everything else as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from handmade import Handmade, operators, run
from vitconv.conversion.compaction import compact
from vitconv.conversion.dense_layers import as_convolutions
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

RANDOM = np.random.default_rng(0)
PIXELS = (1, 2, 3, 4)  # six tokens of four channels
PICTURE = RANDOM.normal(0, 1, PIXELS).astype(np.float32)


def whole_numbers(made: Handmade, *values: int) -> int:
    index = made.constant(np.zeros(len(values)))
    tensor = made.tensors[index]
    tensor.type = schema.TensorType.INT32
    made.buffers[tensor.buffer].data = flatbuffer.data_vector(np.array(values, np.int32).tobytes())
    return index


def reshaped(made: Handmade, source: int, *shape: int) -> int:
    output = made.tensor(*shape)
    options = schema.ReshapeOptionsT(newShape=np.array(shape, np.int32))
    made.operator("RESHAPE", [source, whole_numbers(made, *shape)], [output], options)
    return output


def dense(made: Handmade, source: int, shape: tuple[int, ...], rows: int, bias: bool = True, relu: int = 0) -> int:
    kernel = made.constant(RANDOM.normal(0, 1, (rows, shape[-1])))
    added = made.constant(RANDOM.normal(0, 1, rows)) if bias else -1
    output = made.tensor(*shape[:-1], rows)
    options = schema.FullyConnectedOptionsT(keepNumDims=len(shape) > 2, fusedActivationFunction=relu)
    made.operator("FULLY_CONNECTED", [source, kernel, added], [output], options)
    return output


def reduced(made: Handmade, name: str, source: int, axis: int, shape: tuple[int, ...], keep: bool) -> int:
    output = made.tensor(*shape)
    made.operator(name, [source, whole_numbers(made, axis)], [output], schema.ReducerOptionsT(keepDims=keep))
    return output


def same_answers(graph: Graph, result: Graph) -> None:
    for given, expected in zip(run(result, PICTURE), run(graph, PICTURE), strict=True):
        assert given.shape == expected.shape
        np.testing.assert_allclose(given, expected, atol=1e-5)
    smaller = compact(result)
    for given, expected in zip(run(smaller, PICTURE), run(graph, PICTURE), strict=True):
        np.testing.assert_allclose(given, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "bias", "relu"), [((1, 6, 4), True, 0), ((6, 4), False, 1), ((1, 6, 4), False, 3)]
)
def test_a_dense_layer_over_tokens_becomes_a_convolution(shape: tuple[int, ...], bias: bool, relu: int) -> None:
    made = Handmade()
    tokens = reshaped(made, made.tensor(*PIXELS), *shape)
    given = dense(made, tokens, shape, 5, bias, relu)
    graph = made.graph([reshaped(made, given, 1, 2, 3, 5)])
    result = as_convolutions(graph)
    assert operators(result) == ["RESHAPE", "CONV_2D", "RESHAPE"]
    same_answers(graph, result)


def test_a_dense_layer_over_pixels_becomes_a_convolution() -> None:
    made = Handmade()
    image = made.tensor(*PIXELS)
    given = dense(made, image, PIXELS, 5)
    graph = made.graph([reshaped(made, given, 1, 6, 5)])
    result = as_convolutions(graph)
    assert operators(result) == ["CONV_2D", "RESHAPE"]
    same_answers(graph, result)


def test_a_dense_layer_that_makes_rows_of_pixels_reads_them_as_tokens() -> None:
    made = Handmade()
    image = made.tensor(*PIXELS)
    tokens = reshaped(made, image, 1, 6, 4)
    rows = made.tensor(6, 1)
    kernel = made.constant(RANDOM.normal(0, 1, (1, 4)))
    made.operator("FULLY_CONNECTED", [image, kernel, -1], [rows], schema.FullyConnectedOptionsT())
    graph = made.graph([reshaped(made, made.arithmetic("SUB", tokens, rows, (1, 6, 4)), 1, 2, 3, 4)])
    result = as_convolutions(graph)
    assert operators(result) == ["RESHAPE", "CONV_2D", "SUB", "RESHAPE"]
    same_answers(graph, result)


def test_tokens_stay_in_four_dimensions_from_one_dense_layer_to_the_next() -> None:
    made = Handmade()
    tokens = reshaped(made, made.tensor(*PIXELS), 1, 6, 4)
    first = dense(made, tokens, (1, 6, 4), 4)
    largest = reduced(made, "REDUCE_MAX", first, 2, (1, 6, 1), keep=True)
    summed = reduced(made, "SUM", first, -1, (1, 6, 1), keep=True)
    over_tokens = reduced(made, "SUM", first, 1, (1, 1, 4), keep=True)
    centred = made.arithmetic("SUB", first, largest, (1, 6, 4))
    shared = made.arithmetic("MUL", centred, summed, (1, 6, 4))
    added = made.arithmetic("ADD", shared, over_tokens, (1, 6, 4))
    flat = reshaped(made, added, 6, 4)  # only another view
    second = dense(made, flat, (6, 4), 3)
    graph = made.graph([reshaped(made, second, 1, 2, 3, 3)])
    result = as_convolutions(graph)
    assert operators(result) == [
        "RESHAPE", "CONV_2D", "REDUCE_MAX", "SUM", "SUM", "SUB", "MUL", "ADD", "CONV_2D", "RESHAPE",
    ]  # fmt: skip
    same_answers(graph, result)


@pytest.mark.parametrize(("axis", "axes"), [(1, (1,)), (-2, (1,)), (1, ())])
def test_the_mean_of_tokens_becomes_one_of_pixels_and_the_last_layer_stays_dense(
    axis: int, axes: tuple[int, ...]
) -> None:
    made = Handmade()
    tokens = reshaped(made, made.tensor(*PIXELS), 1, 6, 4)
    given = dense(made, tokens, (1, 6, 4), 5)
    mean = reduced(made, "MEAN", given, axis, (1, 5), keep=False)
    made.tensors[int(made.operators[-1].inputs[1])].shape = np.array(axes, np.int32)
    graph = made.graph([dense(made, mean, (1, 5), 3)])
    result = as_convolutions(graph)
    assert operators(result) == ["RESHAPE", "CONV_2D", "RESHAPE", "MEAN", "FULLY_CONNECTED"]
    (source, _), _ = (flatbuffer.inputs(op) for op in result.model.subgraphs[0].operators[3:])
    assert flatbuffer.tensor_shape(result.model.subgraphs[0].tensors[source]) == (1, 6, 1, 5)
    same_answers(graph, result)


def test_what_another_dimension_would_confuse_gets_back_the_one_it_had() -> None:
    made = Handmade()
    image = made.tensor(*PIXELS)
    tokens = reshaped(made, image, 1, 6, 4)
    given = dense(made, tokens, (1, 6, 4), 4)
    turned = made.tensor(1, 4, 6)
    made.operator("TRANSPOSE", [given, whole_numbers(made, 0, 2, 1)], [turned], schema.TransposeOptionsT())
    again = dense(made, turned, (1, 4, 6), 2)
    # Its RESHAPE to four dimensions does nothing any more, and a convolution reads what it gave.
    pixels = reshaped(made, again, 1, 1, 4, 2)
    kernel, bias = made.constant(RANDOM.normal(0, 1, (3, 1, 2, 2))), made.constant(np.zeros(3))
    convolved = made.convolution(pixels, kernel, bias, (1, 1, 3, 3))
    graph = made.graph([convolved, again])
    result = as_convolutions(graph)
    assert operators(result).count("FULLY_CONNECTED") == 1  # what it gives is an output, and keeps its shape
    same_answers(graph, result)


def test_a_feature_map_that_is_read_in_two_shapes_is_read_so_afterwards() -> None:
    made = Handmade()
    image = made.tensor(1, 1, 6, 4)
    doubled = made.arithmetic("ADD", image, image, (1, 1, 6, 4))
    tokens = reshaped(made, doubled, 6, 4)
    given = dense(made, tokens, (6, 4), 4)
    turned = made.tensor(4, 6)
    made.operator("TRANSPOSE", [tokens, whole_numbers(made, 1, 0)], [turned], schema.TransposeOptionsT())
    kernel = made.constant(RANDOM.normal(0, 1, (2, 1, 1, 4)))
    convolved = made.convolution(doubled, kernel, made.constant(np.zeros(2)), (1, 1, 6, 2))
    graph = made.graph([reshaped(made, given, 1, 1, 6, 4), reshaped(made, turned, 1, 24), convolved])
    result = as_convolutions(graph)
    picture = PICTURE.reshape(1, 1, 6, 4)
    for found, expected in zip(run(result, picture), run(graph, picture), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_kernel_that_is_computed_stays_one_of_a_dense_layer() -> None:
    made = Handmade()
    image = made.tensor(*PIXELS)
    tokens = reshaped(made, image, 6, 4)
    product = made.tensor(6, 6)
    made.operator("FULLY_CONNECTED", [tokens, tokens, -1], [product], schema.FullyConnectedOptionsT())
    graph = made.graph([reshaped(made, product, 1, 36)])
    result = as_convolutions(graph)
    assert "FULLY_CONNECTED" in operators(result)
    same_answers(graph, result)


def test_new_tensors_have_names_of_their_own() -> None:
    """Ranges go by them."""
    made = Handmade()
    image = made.tensor(*PIXELS)
    outputs: list[int] = []
    source: Any = reshaped(made, image, 1, 6, 4)
    for layer in range(2):
        source = dense(made, source, (1, 6, 4), 4)
        made.tensors[source].name = f"net_1/bn{layer}_1/add;net_1/dense{layer}_1/MatMul"
        turned = made.tensor(1, 4, 6)
        made.operator("TRANSPOSE", [source, whole_numbers(made, 0, 2, 1)], [turned], schema.TransposeOptionsT())
        outputs.append(turned)
    model = compact(as_convolutions(made.graph(outputs))).model
    names = [flatbuffer.text(tensor.name) for tensor in model.subgraphs[0].tensors if tensor.name]
    assert len(set(names)) == len(names)


def test_a_graph_without_operators_is_left_alone() -> None:
    made = Handmade()
    assert as_convolutions(made.graph([made.tensor(*PIXELS)])).model.subgraphs[0].operators in ([], None)
