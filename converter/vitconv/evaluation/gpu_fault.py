"""Which operation of a file is the first that a GPU computes wrongly?

Each operation is run by itself, on what this machine's processor computes before it, so that an error shows where
it is made and nowhere behind. Many fit into one graph: every operation gets inputs of its own, and all results are
the graph's outputs. A fault that shows only where operations are fused is not found so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.foundation.errors import ModelFileError
from vitconv.runtimes.gpu.drivers import Driver
from vitconv.runtimes.gpu.runner import GpuRunner
from vitconv.tflite import flatbuffer
from vitconv.tflite.gpu_rules import from_constants
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import Operation, operations

# Rounding makes one step in an integer result and 1e-6 of a float one; what is wrong is wrong by far.
_MOST_STEPS = 3
_LARGEST_SHARE = 0.05  # of the largest value of a float result: dynamic files round activations on this processor
_CHUNK_BYTES = 48 << 20  # of inputs and results at a time
_CHUNK_OPERATIONS = 120


@dataclass(frozen=True)
class Fault:
    """The first operation that is wrong by itself. error: its largest error, in `unit`: steps of its output's
    quantization, or shares of its largest value."""

    index: int
    operator: str
    layer: str
    error: float
    unit: str


def first_fault(
    graph: Graph, image: NDArray[Any], driver: Driver, left_out: frozenset[str], seconds: float
) -> Fault | None:
    """image: uint8 [H, W, 3]. left_out: operators that the GPU refuses. None where no operation is wrong by
    itself, or none was found in so many seconds."""
    deadline = monotonic() + seconds
    values, weights = _Values(graph, image), from_constants(graph)
    with tempfile.TemporaryDirectory() as folder:
        for chunk in _chunks(graph, left_out, weights, values):
            if monotonic() > deadline:
                return None
            alone = _Alone(graph, weights, chunk)
            path = Path(folder) / "operations.tflite"
            path.write_bytes(alone.data)
            try:
                with GpuRunner(path, driver) as runner:
                    results = runner.compute([values.of(tensor) for tensor in alone.feeds])
            except ModelFileError:
                continue
            for operation, result in zip(chunk, results, strict=True):
                error, unit = values.error(operation.output, result)
                if not error <= (_MOST_STEPS if unit == "steps" else _LARGEST_SHARE):
                    return Fault(operation.index, operation.operator, operation.layer, error, unit)
    return None


Weights = dict[int, int]  # a tensor, and the place of the operation that computes it from constants


class _Values:
    """What this machine's processor computes for one image, operation by operation, without XNNPACK."""

    def __init__(self, graph: Graph, image: NDArray[Any]) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._interpreter = Interpreter(
            model_content=graph.data,
            num_threads=2,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._interpreter.allocate_tensors()
        (source,) = self._interpreter.get_input_details()
        self._interpreter.set_tensor(source["index"], image[np.newaxis].astype(source["dtype"]))
        self._interpreter.invoke()
        self._tensors = graph.model.subgraphs[0].tensors

    def of(self, tensor: int) -> NDArray[Any]:
        value: NDArray[Any] = self._interpreter.get_tensor(tensor)
        return value

    def error(self, tensor: int, result: NDArray[Any]) -> tuple[float, str]:
        expected = self.of(tensor)
        off = np.abs(expected.astype(np.float64) - result)
        if expected.dtype.kind in "iub":
            return float(off.max()), "steps"
        largest = float(np.abs(expected).max())
        return float(np.max(off / largest if largest else off)), "of its largest value"


def _chunks(
    graph: Graph, left_out: frozenset[str], weights: Weights, values: _Values
) -> Iterator[list[Operation]]:
    """The operations that compute something from the image, in order, as many at a time as go into one graph."""
    chunk: list[Operation] = []
    room = _CHUNK_BYTES
    for operation in operations(graph):
        if operation.operator in left_out or not _fed(weights, operation):
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


class _Alone:
    """A graph in which each of some operations has inputs of its own.

    data     the file's bytes
    feeds    for each input of it, in order, the tensor of the whole graph whose value it gets
    """

    def __init__(self, graph: Graph, weights: Weights, chunk: list[Operation]) -> None:
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
        self.data = flatbuffer.serialize(model)
