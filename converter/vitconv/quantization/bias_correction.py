"""Biases that take away the mean error of each output channel of an integer file.

What rounding adds to a layer's outputs is not zero in the mean: of one channel it is the rounded weights times the
mean of what they read, and the mean error of the operations before. The file takes no longer for other biases.
After Nagel et al., 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2,
with means measured on images: layer after layer, each on what the corrected layers before it give. Not every
network gains by it (docs/int8.md), so the corrected file is compared with the other on images that were not used.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from vitconv.foundation.progress import Progress
from vitconv.quantization import integers, output_steps
from vitconv.quantization.answer_errors import answer_errors, floor_of
from vitconv.quantization.histograms import Function
from vitconv.quantization.ranges import TensorRange, next_functions, with_ranges
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

# So many pixels of the images: 32 of 256 × 256, and at most 100 of smaller ones. Corrections are tried on as many
# pixels of the others, of which there is a third at least.
_PIXELS, _MOST_IMAGES = 32 * 256 * 256, 100
_MEASURED = 2 / 3
_FLAT = 0.02  # the least growth of what follows a layer that a bias of the layer can still steer it by
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@dataclass(frozen=True)
class BiasCorrection:
    """What is added to a layer's bias, a number for each output channel; `name` is of the tensor it computes."""

    name: str
    added: tuple[float, ...]


@dataclass(frozen=True)
class _Layer:
    """A layer of a graph: the tensor it computes, by name and number, and its bias's tensor."""

    name: str
    output: int
    bias: int


def corrected(graph: Graph, corrections: Iterable[BiasCorrection], kept: Collection[str] = ()) -> Graph:
    """The float graph with these biases, but for layers that stay float: those that compute the tensors `kept`."""
    wanted = {one.name: one.added for one in corrections if one.name not in kept}
    if not wanted:
        return graph
    model = graph.draft()
    for layer in _layers(graph):
        if layer.name in wanted:
            bias = _values(model, layer.bias) + np.array(wanted[layer.name], np.float32)
            _set(model, layer.bias, bias.astype(np.float32))
    return Graph(model, graph.name)


class BiasCorrector:
    """Measures corrections of a float graph's integer files, in which these or other operations stay float.

    images: uint8 [N, H, W, 3]; expected, float64 [N, classes]: the graph's answers to them. Corrections are
    measured on the first images and tried on others.
    """

    def __init__(
        self, graph: Graph, ranges: Sequence[TensorRange], images: NDArray[np.uint8], expected: NDArray[np.float64]
    ) -> None:
        self._graph, self._ranges = graph, ranges
        many = max(1, _PIXELS // math.prod(images.shape[1:3]))
        first = max(1, min(_MOST_IMAGES, many, round(_MEASURED * len(images))))
        self._images, self._others = images[:first], images[first:][:many]
        self._expected = expected[first:][: len(self._others)]
        self._floor = floor_of(expected)
        self._layers = {layer.name: layer for layer in _layers(graph)}

    def measure(self, kept: Collection[str] = (), progress: Progress | None = None) -> tuple[BiasCorrection, ...]:
        """The corrections of the integer file in which the operations that compute the tensors `kept` are float.
        None where they leave its error on other images as it is, or make it larger."""
        if not self._layers:
            return ()
        ranged = with_ranges(self._graph, self._ranges).data
        file = integers.quantize_inside(ranged, {*kept, output_steps.output_of(self._graph)})
        walk, found = _Walk(file, self._images), []
        for done, layer in enumerate(_layers(file)):
            if progress:
                progress("correcting biases", min(done, len(self._layers)), len(self._layers))
            if layer.name not in self._layers or not walk.is_int8(layer.output):
                continue
            function = self._function(self._layers[layer.name])
            given, slope = _means(walk.until(layer.output), walk.scale_of(layer.output), function)
            wanted = self._float_means[layer.name]
            added = np.where(slope > _FLAT, (wanted - given) / np.maximum(slope, _FLAT), 0.0)
            walk.add(layer.bias, added)
            found.append(BiasCorrection(layer.name, tuple(float(f"{value:.6g}") for value in added)))
        if progress:
            progress("correcting biases", len(self._layers), len(self._layers))
        return tuple(found) if self._helps(file, walk.corrected()) else ()

    def _helps(self, file: Graph, corrected_file: Graph) -> bool:
        """On images on which no correction was measured; True where there are none."""
        if not len(self._others):
            return True
        before, after = (
            answer_errors(output_steps.of_file(one.data, self._others), self._expected, self._floor).mean()
            for one in (file, corrected_file)
        )
        return bool(after < before)

    def _function(self, layer: _Layer) -> Function:
        return self._functions.get(layer.output, _itself)

    @cached_property
    def _functions(self) -> Mapping[int, Function]:
        """Tensor → what it becomes next, where that is flat in places."""
        return _functions(self._graph)

    @cached_property
    def _float_means(self) -> Mapping[str, NDArray[np.float64]]:
        """By layer: the mean of each output channel, as what follows makes of it, over all images and positions,
        [channels]. Values are clipped to the range: what it cuts off on purpose, such as the logits of classes
        that are out of the question, is no error of the bias."""
        spans = {one.name: (one.min, one.max) for one in self._ranges}
        layers = self._layers.values()
        model = self._graph.draft()
        model.subgraphs[0].outputs = np.array([layer.output for layer in layers], np.int32)
        model.signatureDefs = None
        interpreter = output_steps.loaded(Graph(model, self._graph.name).data)
        (source,) = interpreter.get_input_details()
        sums: dict[str, Any] = dict.fromkeys(self._layers, 0.0)
        for image in self._images:
            interpreter.set_tensor(source["index"], image[np.newaxis].astype(np.float32))
            interpreter.invoke()
            for layer in layers:
                low, high = spans[layer.name]
                values = np.asarray(interpreter.get_tensor(layer.output)).clip(low, high)
                sums[layer.name] = sums[layer.name] + _channels(self._function(layer)(values))
        return {name: total / len(self._images) for name, total in sums.items()}


def _layers(graph: Graph) -> Iterator[_Layer]:
    """Those with weights and a bias of their own and nothing fused behind them, in the order of computation. A sum
    that a normalisation was written as learnt nothing, and is left out. So is the layer of the answers' logits: it
    gives one value for an image and class, whose mean over a hundred images is mostly chance."""
    model, main = graph.model, graph.model.subgraphs[0]
    names, readers = flatbuffer.operator_names(model), flatbuffer.readers(main)
    for operator in main.operators:
        read = flatbuffer.inputs(operator)
        if names[operator.opcodeIndex] not in _LAYERS or len(read) != 3:
            continue
        constants = [main.tensors[index] for index in read[1:]]
        if operator.builtinOptions.fusedActivationFunction != schema.ActivationFunctionType.NONE:
            continue
        if not all(flatbuffer.is_constant(model, tensor) for tensor in constants) or len(readers[read[2]]) > 1:
            continue
        (output,) = flatbuffer.outputs(operator)
        shape = flatbuffer.tensor_shape(main.tensors[output])
        if shape[-1] > 1 and math.prod(shape) > shape[-1]:
            yield _Layer(flatbuffer.text(main.tensors[output].name), output, read[2])


def _means(
    outputs: Iterable[NDArray[np.int8]], scale_of: tuple[float, int], function: Function
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each channel of a layer's outputs, one an image: the mean of the function of their real values, and by
    how much that grows with the values. scale_of: scale and zero point."""
    scale, zero_point = scale_of
    # An int8 has few values: each one's, and those of its neighbours.
    real = (np.arange(-129, 129) - zero_point) * scale
    of_real = function(real)
    table, slopes = of_real[1:-1], (of_real[2:] - of_real[:-2]) / (2 * scale)
    means = [
        (_channels(table[place]), _channels(slopes[place]))
        for place in (values.astype(np.int16) + 128 for values in outputs)
    ]
    values, growth = np.mean(means, axis=0)
    return values, growth


def _functions(graph: Graph) -> Mapping[int, Function]:
    names = flatbuffer.operator_names(graph.model)
    readers = flatbuffer.readers(graph.model.subgraphs[0])
    gelus = {
        tensor: _gelu
        for tensor, operators in readers.items()
        if all(names[operator.opcodeIndex] == "GELU" for operator in operators)
    }
    return {**gelus, **next_functions(graph.model)}


def _gelu(values: NDArray[Any]) -> NDArray[Any]:
    from scipy.special import ndtr

    return np.asarray(values * ndtr(values))


def _itself(values: NDArray[Any]) -> NDArray[Any]:
    return values


def _channels(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(values.reshape(-1, values.shape[-1]).mean(axis=0, dtype=np.float64))


class _Walk:
    """An integer file, computed for all images piece by piece: up to one layer, whose bias then changes, and on
    from that layer to the next. Pieces have the file's numbers of tensors."""

    def __init__(self, file: Graph, images: NDArray[np.uint8]) -> None:
        self._model, self._next = file.draft(), 0
        (source,) = self._model.subgraphs[0].inputs
        # What operators yet to come read, of each image.
        self._values = [{int(source): image[np.newaxis].astype(np.float32)} for image in images]

    def corrected(self) -> Graph:
        """The file with all that was added so far."""
        return Graph(self._model, "int8")

    def is_int8(self, tensor: int) -> bool:
        return flatbuffer.tensor_dtype(self._model.subgraphs[0].tensors[tensor]) == "int8"

    def scale_of(self, tensor: int) -> tuple[float, int]:
        """Scale and zero point."""
        found = self._model.subgraphs[0].tensors[tensor].quantization
        return float(found.scale[0]), int(found.zeroPoint[0])

    def add(self, bias: int, added: NDArray[np.float64]) -> None:
        """To a layer's int32 bias, in real values, before anything behind the layer is computed."""
        scales = np.asarray(self._model.subgraphs[0].tensors[bias].quantization.scale, np.float64)
        _set(self._model, bias, (_values(self._model, bias) + np.rint(added / scales)).astype(np.int32))

    def until(self, output: int) -> Iterator[NDArray[np.int8]]:
        """What a layer further on computes, an array an image."""
        operators = self._model.subgraphs[0].operators
        last = next(i for i, operator in enumerate(operators) if output in flatbuffer.outputs(operator))
        piece = operators[self._next : last + 1]
        # The last one is computed again, with its bias.
        later = {index for operator in operators[last:] for index in flatbuffer.inputs(operator)}
        made = [index for operator in piece[:-1] for index in flatbuffer.outputs(operator) if index in later]
        known = set(self._values[0])
        read = sorted(known.intersection(index for operator in piece for index in flatbuffer.inputs(operator)))
        interpreter = output_steps.loaded(self._file(piece, read, [output, *made]).data)
        self._next = last
        for values in self._values:
            for index in read:
                interpreter.set_tensor(index, values[index])
            interpreter.invoke()
            for index in known - later:
                del values[index]
            values.update({index: interpreter.get_tensor(index) for index in made})
            yield interpreter.get_tensor(output)

    def _file(self, piece: Sequence[Any], inputs: Sequence[int], outputs: Sequence[int]) -> Graph:
        """What the operators do not need is left empty, because it would be written for each layer again."""
        file = Graph(self._model, "int8").draft()
        main = file.subgraphs[0]
        main.operators = [*piece]
        main.inputs, main.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        file.signatureDefs = None
        used = {index for one in piece for index in (*flatbuffer.inputs(one), *flatbuffer.outputs(one))}
        nothing, no_data = schema.TensorT(), schema.BufferT()
        main.tensors = [tensor if index in used else nothing for index, tensor in enumerate(main.tensors)]
        buffers = {tensor.buffer for tensor in main.tensors}
        file.buffers = [buffer if index in buffers else no_data for index, buffer in enumerate(file.buffers)]
        return Graph(file, "int8")


def _values(model: Any, index: int) -> NDArray[Any]:
    tensor = model.subgraphs[0].tensors[index]
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), flatbuffer.tensor_dtype(tensor))


def _set(model: Any, index: int, values: NDArray[Any]) -> None:
    """Other values for a constant. Its buffer may be another one's too, and stays."""
    model.buffers.append(schema.BufferT(data=flatbuffer.data_vector(values.tobytes())))
    model.subgraphs[0].tensors[index].buffer = len(model.buffers) - 1
