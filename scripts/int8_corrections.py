"""Ways to a better integer file at the same cost, which `scripts/compare-int8-methods` measures.

refitted      weights refitted to the quantized activations by ridge regression (Zhong et al., 2024, "ERQ", the
              activations' half)
loss_aware    of each activation the range, of several methods', that leaves the answers' error least
equalized     the spread of an activation's channels moved into the next layer's weights, where nothing but the
              product stands between two layers (Nagel et al., 2019, "Data-Free Quantization Through Weight
              Equalization and Bias Correction", section 4.1, with seen ranges)

All change the float graph or its ranges alone, so that the quantizer makes the file as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from vitconv.evaluation.layer_errors import Run
from vitconv.quantization import integers, output_steps
from vitconv.quantization.answer_errors import answer_errors
from vitconv.quantization.ranges import TensorRange, with_ranges
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

RIDGE = 0.01  # of the mean square of a layer's inputs
ROWS = 256  # positions of a feature map that are looked at, of each image
ENOUGH = 10  # rows for each number that is read, for weights to be refitted
LEAST_GAIN = 0.01  # of the answers' error, for another range to be taken
UNLIKE = 0.03  # ranges whose ends differ by less than this part of their width are the same


def in_integers(graph: Graph, ranges: Sequence[TensorRange]) -> Graph:
    """The graph in integers but for the probabilities, with float32 input and output and all tensors' names."""
    return integers.quantize_inside(with_ranges(graph, ranges).data, [output_steps.output_of(graph)])


@dataclass(frozen=True)
class Layer:
    """An operator with constant weights and bias, and nothing fused behind it; numbers are of tensors."""

    name: str
    operator: str
    source: int
    weights: int
    bias: int
    output: int
    strides: tuple[int, int]
    padded: bool


def layers(graph: Graph) -> Iterator[Layer]:
    """Those of a float graph that learnt, in the order in which it computes."""
    model, main = graph.model, graph.model.subgraphs[0]
    names, readers = flatbuffer.operator_names(model), flatbuffer.readers(main)
    for operator in main.operators:
        operator_name = names[operator.opcodeIndex]
        read = flatbuffer.inputs(operator)
        if operator_name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") or len(read) != 3:
            continue
        own = [
            flatbuffer.is_constant(model, main.tensors[index]) and len(readers[index]) == 1 for index in read[1:]
        ]
        options = operator.builtinOptions
        if not all(own) or options.fusedActivationFunction != schema.ActivationFunctionType.NONE:
            continue
        if operator_name != "DEPTHWISE_CONV_2D" and flatbuffer.tensor_shape(main.tensors[read[1]])[0] == 1:
            continue  # a sum that a normalisation was written as
        (output,) = flatbuffer.outputs(operator)
        convolution = operator_name != "FULLY_CONNECTED"
        yield Layer(
            flatbuffer.text(main.tensors[output].name), operator_name, *read, output,
            (options.strideH, options.strideW) if convolution else (1, 1),
            convolution and options.padding == schema.Padding.SAME,
        )  # fmt: skip


def constant(graph: Graph, index: int) -> np.ndarray:
    tensor = graph.model.subgraphs[0].tensors[index]
    values = np.frombuffer(bytes(graph.model.buffers[tensor.buffer].data), np.float32)
    return values.reshape(flatbuffer.tensor_shape(tensor))


def with_constants(graph: Graph, values: Mapping[int, np.ndarray]) -> Graph:
    """The graph with other values in its constants, by the tensor's number."""
    model = graph.draft()
    for index, new in values.items():
        data = flatbuffer.data_vector(np.ascontiguousarray(new, np.float32).tobytes())
        model.buffers.append(schema.BufferT(data=data))
        model.subgraphs[0].tensors[index].buffer = len(model.buffers) - 1
    return Graph(model, graph.name)


class LayerRun:
    """A file with all its tensors kept, by the layer's tensor."""

    def __init__(self, graph: Graph) -> None:
        self._run, main = Run(graph.data), graph.model.subgraphs[0]
        names = [flatbuffer.text(tensor.name) for tensor in main.tensors]
        self._read = {
            names[flatbuffer.outputs(operator)[0]]: names[flatbuffer.inputs(operator)[0]]
            for operator in main.operators
        }

    def feed(self, image: np.ndarray) -> None:
        self._run.feed(image)

    def of(self, layer: str) -> tuple[np.ndarray, np.ndarray]:
        """Real values of what the layer reads and gives."""
        return self._run.value(self._read[layer])[0], self._run.value(layer)[0]

    def has(self, layer: str) -> bool:
        return layer in self._read


def refitted(
    graph: Graph,
    ranges: Sequence[TensorRange],
    images: np.ndarray,
    say: Callable[[str], None] = lambda what: None,
) -> Graph:
    """The float graph with refitted weights and biases. images: uint8 [N, H, W, 3]. Layer after layer, each on
    what the refitted layers before it give. Where rows are too few, and in depthwise layers, only biases change.
    """
    every, spans = list(layers(graph)), {one.name: (one.min, one.max) for one in ranges}
    run, seen = LayerRun(graph), {layer.name: [] for layer in every}
    for image in images:
        run.feed(image)
        for layer in every:
            seen[layer.name].append(_rows(run.of(layer.name)[1]))
    for number, layer in enumerate(every):
        say(f"{number + 1} of {len(every)} layers")
        run = LayerRun(in_integers(graph, ranges))
        if not run.has(layer.name):
            continue
        wanted = np.concatenate(seen[layer.name])
        weights, bias = constant(graph, layer.weights), constant(graph, layer.bias)
        fits = layer.operator != "DEPTHWISE_CONV_2D" and len(wanted) >= ENOUGH * weights[0].size
        inputs, outputs = [], []
        for image in images:
            run.feed(image)
            x, y = run.of(layer.name)
            if fits:
                inputs.append(_rows(_patches(x, layer, weights)))
            else:
                outputs.append(_rows(y))
        if fits:
            change, added = _ridge(np.concatenate(inputs).astype(np.float64), wanted, weights, bias)
            graph = with_constants(graph, {layer.weights: weights + change, layer.bias: bias + added})
        else:
            error = np.clip(wanted, *spans[layer.name]) - np.concatenate(outputs)
            graph = with_constants(graph, {layer.bias: bias + error.mean(axis=0)})
    return graph


def _ridge(
    x: np.ndarray, wanted: np.ndarray, weights: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What to add to the weights and to the bias, so that x [rows, read] gives `wanted` [rows, outputs]."""
    error = wanted - (x @ weights.reshape(len(weights), -1).T + bias)
    centred = x - x.mean(axis=0)
    square = centred.T @ centred / len(x)
    square += (RIDGE * np.trace(square) / len(square) + 1e-12) * np.eye(len(square))
    change = np.linalg.solve(square, centred.T @ (error - error.mean(axis=0)) / len(x))
    return change.T.reshape(weights.shape), (error - x @ change).mean(axis=0)


def _rows(values: np.ndarray) -> np.ndarray:
    """[1, …, C] → at most ROWS of its rows, the same ones for the same shape: [rows, C]."""
    flat = values.reshape(-1, values.shape[-1])
    if len(flat) <= ROWS:
        return np.array(flat)
    return np.array(flat[np.sort(np.random.default_rng(0).permutation(len(flat))[:ROWS])])


def _patches(x: np.ndarray, layer: Layer, weights: np.ndarray) -> np.ndarray:
    """What each output of a layer is computed from: [1, H, W, C] → [1, H', W', h·w·C], in the weights' order."""
    if layer.operator == "FULLY_CONNECTED":
        return x.reshape(-1, weights.shape[-1])
    height, width = weights.shape[1:3]
    if layer.padded:
        edges = []
        for size, kernel, stride in zip(x.shape[1:3], (height, width), layer.strides, strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            edges.append((total // 2, total - total // 2))
        x = np.pad(x, ((0, 0), *edges, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(1, 2))
    windows = windows[:, :: layer.strides[0], :: layer.strides[1]]  # [1, H', W', C, h, w]
    return np.moveaxis(windows, 3, 5).reshape(*windows.shape[:3], -1)


def loss_aware(
    graph: Graph,
    choices: Sequence[Sequence[TensorRange]],
    images: np.ndarray,
    say: Callable[[str], None] = lambda what: None,
) -> tuple[TensorRange, ...]:
    """Of the first of `choices`, ranges of all tensors in the same order, those exchanged for another's that lower
    the answers' error on the images by LEAST_GAIN: one tensor after the other."""
    best = list(choices[0])
    expected = output_steps.of_file(graph.data, images)

    def error(ranges: Sequence[TensorRange]) -> float:
        return float(answer_errors(output_steps.of_file(in_integers(graph, ranges).data, images), expected).mean())

    least = error(best)
    for place in range(len(best)):
        say(f"{place + 1} of {len(best)} ranges")
        tried = [best[place]]
        for other in (choice[place] for choice in choices[1:]):
            if any(_alike(other, known) for known in tried):
                continue
            tried.append(other)
            found = error([*best[:place], other, *best[place + 1 :]])
            if found < (1 - LEAST_GAIN) * least:
                best[place], least = other, found
    return tuple(best)


def _alike(one: TensorRange, other: TensorRange) -> bool:
    width = max(one.max - one.min, 1e-12)
    return max(abs(one.min - other.min), abs(one.max - other.max)) < UNLIKE * width


def equalized(graph: Graph, images: np.ndarray) -> tuple[Graph, int]:
    """The float graph with even channels wherever a layer's output goes into one other layer alone, and how many
    such places there are."""
    readers, every = flatbuffer.readers(graph.model.subgraphs[0]), list(layers(graph))
    by_source = {layer.source: layer for layer in every}
    pairs = [
        (first, by_source[first.output])
        for first in every
        if len(readers.get(first.output, [])) == 1 and first.output in by_source
    ]
    pairs = [
        pair for pair in pairs if pair[0].operator != "FULLY_CONNECTED" and pair[1].operator != "DEPTHWISE_CONV_2D"
    ]
    run, most = LayerRun(graph), {first.name: 0.0 for first, _ in pairs}
    for image in images:
        run.feed(image)
        for first, _ in pairs:
            values = np.abs(run.of(first.name)[1])
            most[first.name] = np.maximum(most[first.name], values.reshape(-1, values.shape[-1]).max(axis=0))
    new: dict[int, Any] = {}
    for first, second in pairs:
        channels = np.maximum(most[first.name], 1e-6)
        # Half of the spread stays, so that neither side takes all of it.
        scale = np.sqrt(channels / np.exp(np.mean(np.log(channels))))
        across = (1, 1, 1, -1) if first.operator == "DEPTHWISE_CONV_2D" else (-1, 1, 1, 1)
        own = new.get(first.weights, constant(graph, first.weights))
        new[first.weights] = own / scale.reshape(across)
        new[first.bias] = new.get(first.bias, constant(graph, first.bias)) / scale
        new[second.weights] = new.get(second.weights, constant(graph, second.weights)) * scale
    return with_constants(graph, new), len(pairs)
