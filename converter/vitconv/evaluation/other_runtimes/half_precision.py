"""Does a float file keep its answers where a GPU computes in 16 bits?

Numbers of 16 bits reach to 65,504 and have 11 binary digits. What is larger becomes infinite and soon NaN, and
what is added to something 2,048 times as large is lost. Whether that happens is found out on this machine's
processor:

    answers   the file's graph with every value rounded to 16 bits as soon as it is computed, weights too
    sums      of each sum and each product of matrices, the largest sum of its terms' magnitudes: no order in which
              a GPU may add them comes to more on the way
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from vitconv.evaluation.other_runtimes.single_operations import Alone, Values, chunks
from vitconv.foundation.cores import litert_threads
from vitconv.tflite import flatbuffer
from vitconv.tflite.gpu_rules import from_constants
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import Operation, operations

LARGEST = 65504.0  # of 16 bits
MOST_ERROR = 0.01  # of a probability; the shipped networks' are within 0.003
IMAGES = 2  # whose values and sums are looked at: how large they are hardly depends on the image

# What adds terms up. A mean is a sum that is divided, of so many terms as it says itself.
_SUMS = frozenset({"SUM", "MEAN", "FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "BATCH_MATMUL",
                   "AVERAGE_POOL_2D", "TRANSPOSE_CONV"})  # fmt: skip
_CAST_TO_FLOAT16 = 4  # the version of CAST that does it


@dataclass(frozen=True)
class LayerRange:
    """The largest magnitude in a layer: of a value, and of a sum on the way to one (0: nothing is added up)."""

    layer: str
    value: float
    total: float


@dataclass(frozen=True)
class HalfPrecision:
    """A float file in 16 bits, on some images.

    agreement: the share of images with Keras's first class. max_abs_error: of a probability, from Keras's; None
    for NaN or infinity. layers: the largest values first. reasons: what is wrong.
    """

    images: int
    agreement: float
    max_abs_error: float | None
    layers: tuple[LayerRange, ...]
    reasons: tuple[str, ...]


def half_precision(graph: Graph, images: NDArray[Any], expected: NDArray[Any]) -> HalfPrecision:
    """images: uint8 [N, H, W, 3]; expected: Keras's probabilities for them, [N, classes]. The graph must be of
    floats, with one input and one output."""
    answers = answers_in_16_bits(graph, images)
    finite = bool(np.isfinite(answers).all()) and answers.shape == expected.shape
    error = float(np.abs(answers - expected).max()) if finite else None
    agreement = float(np.mean(answers.argmax(1) == expected.argmax(1))) if finite else 0.0
    layers = _ranges(graph, images[:IMAGES])
    return HalfPrecision(len(images), agreement, error, layers, tuple(_reasons(error, layers)))


def _reasons(error: float | None, layers: tuple[LayerRange, ...]) -> Iterator[str]:
    too_large = [layer for layer in layers if layer.value > LARGEST]
    if too_large:
        first = too_large[0]
        yield f"in 16 bits {first.layer} overflows: its values reach {first.value:.3g}, more than {LARGEST:.0f}"
    if error is None and not too_large:
        yield "in 16 bits it gives NaN or infinity"
    if error is not None and error > MOST_ERROR:
        yield f"in 16 bits it is off by {error:.2g} in a probability, more than {MOST_ERROR:g}"
    totals = [layer for layer in layers if layer.total > LARGEST and layer not in too_large]
    if totals:
        worst = max(totals, key=lambda layer: layer.total)
        yield f"in 16 bits a sum in {worst.layer} may overflow: it can reach {worst.total:.3g} on the way"


def _rounding(graph: Graph) -> bytes:
    """The graph's file with every computed float value rounded to 16 bits and back."""
    model = graph.draft()
    subgraph = model.subgraphs[0]
    weights = from_constants(graph)
    cast = flatbuffer.code_index(model, schema.BuiltinOperator.CAST)
    model.operatorCodes[cast].version = max(model.operatorCodes[cast].version, _CAST_TO_FLOAT16)
    wide, narrow = schema.TensorType.FLOAT32, schema.TensorType.FLOAT16
    instead: dict[int, int] = {}
    written = []

    def add(tensor: Any, kind: int) -> int:
        changed = copy(tensor)
        changed.type, changed.name, changed.buffer = kind, f"rounded{len(subgraph.tensors)}".encode(), 0
        subgraph.tensors.append(changed)
        return len(subgraph.tensors) - 1

    def cast_operator(source: int, target: int, from_kind: int, to_kind: int) -> Any:
        return schema.OperatorT(
            opcodeIndex=cast,
            inputs=np.array([source], np.int32),
            outputs=np.array([target], np.int32),
            builtinOptions=schema.CastOptionsT(inDataType=from_kind, outDataType=to_kind),
            builtinOptionsType=schema.BuiltinOptions.CastOptions,
        )

    for operator in subgraph.operators:
        operator.inputs = np.array([instead.get(int(index), int(index)) for index in operator.inputs], np.int32)
        written.append(operator)
        for index in flatbuffer.outputs(operator):
            tensor = subgraph.tensors[index]
            if tensor.type == wide and index not in weights:
                small, back = add(tensor, narrow), add(tensor, wide)
                written += [cast_operator(index, small, wide, narrow), cast_operator(small, back, narrow, wide)]
                instead[index] = back
    subgraph.operators = written
    subgraph.outputs = np.array([instead.get(int(index), int(index)) for index in subgraph.outputs], np.int32)
    model.signatureDefs = []  # they name the outputs
    _round_constants(model, subgraph)
    return flatbuffer.serialize(model)


def _round_constants(model: Any, subgraph: Any) -> None:
    done = set()
    for tensor in subgraph.tensors:
        if flatbuffer.is_constant(model, tensor) and tensor.type == schema.TensorType.FLOAT32:
            if tensor.buffer in done:
                continue
            done.add(tensor.buffer)
            values = np.frombuffer(model.buffers[tensor.buffer].data.tobytes(), np.float32)
            with np.errstate(over="ignore"):
                rounded = values.astype(np.float16).astype(np.float32)
            model.buffers[tensor.buffer].data = flatbuffer.data_vector(rounded.tobytes())


def answers_in_16_bits(graph: Graph, images: NDArray[Any]) -> NDArray[Any]:
    """The float graph's, with every value rounded: uint8 [N, H, W, 3] → float64 [N, classes]."""
    interpreter = _interpreter(_rounding(graph))
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    answers = []
    for image in images:
        interpreter.set_tensor(source["index"], image[np.newaxis].astype(source["dtype"]))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(target["index"]).ravel().copy())
    stacked: NDArray[Any] = np.stack(answers).astype(np.float64)
    return stacked


def _ranges(graph: Graph, images: NDArray[Any]) -> tuple[LayerRange, ...]:
    weights = from_constants(graph)
    wanted = [operation for operation in operations(graph) if operation.index not in weights.values()]
    values: dict[str, float] = {}
    totals: dict[str, float] = {}
    for image in images:
        computed = Values(graph, image)
        for operation in wanted:
            for output in operation.outputs:
                _raise(values, operation.layer, _largest(computed.of(output)))
        for chunk in chunks((one for one in wanted if one.operator in _SUMS), weights, computed):
            alone = Alone(graph, weights, chunk, magnitudes=True)
            interpreter = _interpreter(alone.data)
            for detail, tensor in zip(interpreter.get_input_details(), alone.feeds, strict=True):
                interpreter.set_tensor(detail["index"], np.abs(computed.of(tensor)))
            interpreter.invoke()
            for operation, detail in zip(chunk, interpreter.get_output_details(), strict=True):
                total = _largest(interpreter.get_tensor(detail["index"])) * _terms(graph, operation)
                _raise(totals, operation.layer, total)
    found = [LayerRange(layer, value, totals.get(layer, 0.0)) for layer, value in values.items()]
    return tuple(sorted(found, key=lambda layer: -max(layer.value, layer.total)))


def _terms(graph: Graph, operation: Operation) -> float:
    """By what a result must be multiplied to be a sum."""
    if operation.operator == "MEAN":
        source, result = (
            flatbuffer.tensor_shape(graph.model.subgraphs[0].tensors[index])
            for index in (operation.activations[0], operation.output)
        )
        return math.prod(source) / max(1, math.prod(result))
    if operation.operator == "AVERAGE_POOL_2D":
        options = graph.model.subgraphs[0].operators[operation.index].builtinOptions
        return float(options.filterWidth * options.filterHeight)
    return 1.0


def _raise(found: dict[str, float], layer: str, value: float) -> None:
    found[layer] = max(found.get(layer, 0.0), value)


def _largest(values: NDArray[Any]) -> float:
    return float(np.abs(values.astype(np.float64)).max()) if values.size else 0.0


def _interpreter(data: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=data,
        num_threads=litert_threads(),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter
