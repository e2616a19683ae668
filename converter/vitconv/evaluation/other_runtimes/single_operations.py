"""Operations of a graph, each by itself on what this machine's processor computes before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.tflite import flatbuffer, kept_tensors
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import Operation

_CHUNK_BYTES = 48 << 20  # of inputs and results at a time
_CHUNK_OPERATIONS = 120

Weights = dict[int, int]  # a tensor, and the place of the operation that computes it from constants


class Values:
    """What this machine's processor computes for one image, operation by operation, without XNNPACK."""

    def __init__(self, graph: Graph, image: NDArray[Any]) -> None:
        self._interpreter = kept_tensors.interpreter_of(graph.data)
        (source,) = self._interpreter.get_input_details()
        self._interpreter.set_tensor(source["index"], image[np.newaxis].astype(source["dtype"]))
        self._interpreter.invoke()

    def of(self, tensor: int) -> NDArray[Any]:
        """A tensor of the main graph, as it is stored."""
        value: NDArray[Any] = self._interpreter.get_tensor(tensor)
        return value


def chunks(wanted: Iterable[Operation], weights: Weights, values: Values) -> Iterator[list[Operation]]:
    """Of the wanted operations those that compute something from the image, as many as go into one graph."""
    chunk: list[Operation] = []
    room = _CHUNK_BYTES
    for operation in wanted:
        if not _fed(weights, operation):
            continue
        size = sum(values.of(tensor).nbytes for tensor in (*operation.activations, *operation.outputs))
        if chunk and (size > room or len(chunk) == _CHUNK_OPERATIONS):
            yield chunk
            chunk, room = [], _CHUNK_BYTES
        chunk.append(operation)
        room -= size
    if chunk:
        yield chunk


def _fed(weights: Weights, operation: Operation) -> tuple[int, ...]:
    """The inputs of an operation that hang on the image."""
    return tuple(tensor for tensor in operation.activations if tensor not in weights)


class Alone:
    """A graph in which each of some operations has inputs of its own, and all results are the graph's outputs.

    `magnitudes` makes constants positive and leaves activations out: a sum of products then gives, of inputs that
    are positive, too, the sum of its terms' magnitudes.

    data     the file's bytes
    feeds    for each input of it, in order, the tensor of the whole graph whose value it gets
    """

    def __init__(self, graph: Graph, weights: Weights, chunk: list[Operation], magnitudes: bool = False) -> None:
        model = graph.draft()
        model.signatureDefs = []
        subgraph = model.subgraphs[0]
        all_operators = subgraph.operators
        self.feeds: list[int] = []
        inputs, before, kept = [], {}, []
        for operation in chunk:
            operator = all_operators[operation.index]
            fed = _fed(weights, operation)
            mine = []
            for tensor in map(int, operator.inputs):
                if tensor in fed:
                    subgraph.tensors.append(copy(subgraph.tensors[tensor]))
                    inputs.append(len(subgraph.tensors) - 1)
                    self.feeds.append(tensor)
                    mine.append(inputs[-1])
                    continue
                if tensor in weights:
                    before[weights[tensor]] = all_operators[weights[tensor]]
                mine.append(tensor)
            operator.inputs = np.array(mine, np.int32)
            kept.append(operator)
        subgraph.operators = [*before.values(), *kept]
        subgraph.inputs = np.array(inputs, np.int32)
        subgraph.outputs = np.array([operation.output for operation in chunk], np.int32)
        for number, tensor in enumerate(subgraph.tensors):  # the runtime goes by names, which must differ
            tensor.name = f"tensor{number}".encode()
        if magnitudes:
            _make_positive(model, subgraph)
        self.data = flatbuffer.serialize(model)


def _make_positive(model: Any, subgraph: Any) -> None:
    """In a draft: float constants become their magnitudes, and operators have no activation."""
    done = set()
    for tensor in subgraph.tensors:
        dtype = flatbuffer.tensor_dtype(tensor)
        if flatbuffer.is_constant(model, tensor) and dtype in ("float32", "float16") and tensor.buffer not in done:
            done.add(tensor.buffer)
            values = np.abs(np.frombuffer(model.buffers[tensor.buffer].data.tobytes(), dtype))
            model.buffers[tensor.buffer].data = flatbuffer.data_vector(values.tobytes())
    for operator in subgraph.operators:
        if getattr(operator.builtinOptions, "fusedActivationFunction", 0):
            operator.builtinOptions = copy(operator.builtinOptions)
            operator.builtinOptions.fusedActivationFunction = 0
