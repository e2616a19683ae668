"""A float graph with its weights in fewer bits: float16, or eight bits with activations quantized on the fly.

They are those that TensorFlow's converter writes. It would convert the model anew for each, and takes no .tflite
file. Dense layers have one scale: one a channel needs FULLY_CONNECTED 12, which TFLite 2.16.1 doesn't have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

_LEAST = 1024  # values of a kernel, below which eight bits save nothing; TensorFlow's converter has the same
_STEPS = 127
_LARGEST_HALF = float(np.finfo(np.float16).max)
# Operator → the axis that has a scale of its own for each place (None: one scale for all), and the operator's
# version that takes an int8 kernel with float activations.
_KERNELS: dict[str, tuple[int | None, int]] = {
    "CONV_2D": (0, 5),
    "DEPTHWISE_CONV_2D": (3, 6),
    "FULLY_CONNECTED": (None, 9),
}


def in_half_precision(graph: Graph) -> Graph:
    """Every float constant as float16, clipped to what that reaches, with a DEQUANTIZE before those who read it.
    XNNPACK takes them as they are."""
    model = graph.draft()
    subgraph = model.subgraphs[0]
    float32, float16 = schema.TensorType.FLOAT32, schema.TensorType.FLOAT16
    conversions = []
    for index in range(len(subgraph.tensors)):
        tensor = subgraph.tensors[index]
        if (
            tensor.type != float32
            or not flatbuffer.is_constant(model, tensor)
            or not flatbuffer.tensor_shape(tensor)
        ):
            continue
        # As TensorFlow's converter does: a mask of −10⁹ is as good at the end of half precision.
        halves = np.clip(_values(model, tensor), -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
        stored = schema.TensorT(name=tensor.name, shape=tensor.shape, type=float16, buffer=_buffer(model, halves))
        subgraph.tensors.append(stored)
        tensor.buffer = 0
        tensor.name = f"{flatbuffer.text(tensor.name) or index}_dequantize"
        conversions.append(
            schema.OperatorT(
                opcodeIndex=_code(model, "DEQUANTIZE", 3),
                inputs=np.array([len(subgraph.tensors) - 1], np.int32),
                outputs=np.array([index], np.int32),
                builtinOptionsType=schema.BuiltinOptions.DequantizeOptions,
                builtinOptions=schema.DequantizeOptionsT(),
            )
        )
    subgraph.operators = [*conversions, *subgraph.operators]
    return Graph(model, graph.name)


def in_eight_bits(graph: Graph) -> Graph:
    """The kernels of dense layers and convolutions as int8; activations stay float between the layers. Small ones
    stay float, too, but in a network that has few others."""
    model = graph.draft()
    subgraph = model.subgraphs[0]
    names = flatbuffer.operator_names(model)
    readers = flatbuffer.readers(subgraph)
    least = _least(model, names)
    done: dict[int, int] = {}
    for operator in subgraph.operators:
        name = names[operator.opcodeIndex]
        if name not in _KERNELS:
            continue
        axis, version = _KERNELS[name]
        index = flatbuffer.inputs(operator)[1]
        tensor = subgraph.tensors[index]
        if index not in done:
            if tensor.type != schema.TensorType.FLOAT32 or not flatbuffer.is_constant(model, tensor):
                continue
            values = _values(model, tensor)
            if values.size < least:
                continue
            if any(names[reader.opcodeIndex] != name for reader in readers[index]):
                continue
            subgraph.tensors.append(_quantized(model, tensor, values, axis))
            done[index] = len(subgraph.tensors) - 1
        operator.inputs = np.array([done.get(int(one), int(one)) for one in operator.inputs], np.int32)
        operator.opcodeIndex = _code(model, name, version)
        if name == "FULLY_CONNECTED":
            # XNNPACK's products of such inputs; without it TFLite 2.16.1 keeps them to its own slower kernels.
            operator.builtinOptions.asymmetricQuantizeInputs = True
    return Graph(model, graph.name)


def _least(model: Any, names: Sequence[str]) -> int:
    """Values from which a kernel is worth eight bits: 1 where large ones alone would leave most values float."""
    subgraph = model.subgraphs[0]
    kernels = {flatbuffer.inputs(op)[1] for op in subgraph.operators if names[op.opcodeIndex] in _KERNELS}
    sizes = {
        index: math.prod(flatbuffer.tensor_shape(tensor))
        for index, tensor in enumerate(subgraph.tensors)
        if tensor.type == schema.TensorType.FLOAT32 and flatbuffer.is_constant(model, tensor)
    }
    large = sum(size for index, size in sizes.items() if index in kernels and size >= _LEAST)
    return _LEAST if large >= (sum(sizes.values()) - large) else 1


def _quantized(model: Any, tensor: Any, values: NDArray[np.float32], axis: int | None) -> Any:
    others = tuple(other for other in range(values.ndim) if other != axis) if axis is not None else None
    # In double precision and halves away from 0, as TensorFlow's converter does.
    largest = np.abs(values).max(axis=others, keepdims=True).astype(np.float64)
    scale = np.where(largest > 0, largest, 1.0) / _STEPS
    exact = values / scale
    steps = np.trunc(exact + np.copysign(0.5, exact)).astype(np.int8)
    record = schema.QuantizationParametersT(
        scale=scale.astype(np.float32).ravel(),
        zeroPoint=np.zeros(scale.size, np.int64),
        quantizedDimension=axis or 0,
    )
    return schema.TensorT(
        name=tensor.name, shape=tensor.shape, type=schema.TensorType.INT8, buffer=_buffer(model, steps),
        quantization=record,
    )  # fmt: skip


def _values(model: Any, tensor: Any) -> NDArray[np.float32]:
    values = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32)
    return values.reshape(flatbuffer.tensor_shape(tensor))


def _buffer(model: Any, values: NDArray[Any]) -> int:
    model.buffers.append(schema.BufferT(data=flatbuffer.data_vector(np.ascontiguousarray(values).tobytes())))
    return len(model.buffers) - 1


def _code(model: Any, name: str, version: int) -> int:
    """The index of an operator's code in that version, which is added where there is none."""
    builtin = getattr(schema.BuiltinOperator, name)
    for index, code in enumerate(model.operatorCodes):
        if flatbuffer.builtin_code(code) == builtin and code.version == version:
            return index
    model.operatorCodes.append(
        schema.OperatorCodeT(deprecatedBuiltinCode=min(builtin, 127), builtinCode=builtin, version=version)
    )
    return len(model.operatorCodes) - 1
