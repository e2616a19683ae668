"""Dense layers of a graph written as convolutions of 1×1, and means over tokens as means over pixels.

They compute the same, but not in the same time: for a dense kernel in eight bits with a scale for each channel the
XNNPACK of TFLite 2.16.1, Android's newest, has no operator, and of a convolution's it has; and of means it takes
those over height and width alone. A convolution reads four dimensions, so the tokens [1, N, C] between dense
layers become [1, 1, N, C].
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

_RANK = 4
_REDUCTIONS = ("SUM", "MEAN", "REDUCE_MAX")
# Operators that take one more leading dimension of 1 without being told.
_ANY_RANK = (
    "ABS", "ADD", "BATCH_MATMUL", "DIV", "ELU", "EXP", "GELU", "L2_NORMALIZATION", "LEAKY_RELU", "LOG", "LOGISTIC",
    "MAXIMUM", "MINIMUM", "MUL", "NEG", "RELU", "RELU6", "RSQRT", "SOFTMAX", "SQRT", "SQUARED_DIFFERENCE", "SUB",
    "TANH",
)  # fmt: skip


def as_convolutions(graph: Graph) -> Graph:
    """The float graph with dense layers over tokens as convolutions.

    Input, output and what stands beside operators that another dimension would confuse keep their shapes, with a
    RESHAPE between; so does a dense layer over a single row, the last one for example.
    """
    return _Lifting(graph).result()


@dataclass
class _Lifting:
    """One graph on its way. `ranks` are the dimensions that the lifted tensors had."""

    graph: Graph
    ranks: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = self.graph.draft()
        self.subgraph = self.model.subgraphs[0]
        self.names = flatbuffer.operator_names(self.model)
        self.ends = {int(index) for index in (*self.subgraph.inputs, *self.subgraph.outputs)}
        self.operators: list[Any] = []
        self.copies: dict[tuple[int, bool], int] = {}  # (tensor, lifted) → the other view of it
        self.same: dict[int, int] = {}  # what a RESHAPE without effect gave → what it read

    def result(self) -> Graph:
        for operator in list(self.subgraph.operators):
            name = self.names[operator.opcodeIndex]
            inputs = [] if operator.inputs is None else [self.same.get(int(one), int(one)) for one in operator.inputs]
            operator.inputs = np.array(inputs, np.int32)
            if name == "RESHAPE":
                self._reshape(operator)
            elif self._lifts(operator, name):
                self._lift(operator, name)
            else:
                operator.inputs = np.array([self._view(one, lifted=False) for one in inputs], np.int32)
                self._mean_of_pixels(operator, name)
                self.operators.append(operator)
        self.subgraph.operators = self.operators
        return Graph(self.model, self.graph.name)

    # --- what can be lifted ---

    def _lifts(self, operator: Any, name: str) -> bool:
        outputs = flatbuffer.outputs(operator)
        if self.ends & set(outputs) or not all(len(self._shape(index)) in (2, 3) for index in outputs):
            return False
        inputs = flatbuffer.inputs(operator)
        if name in _REDUCTIONS:
            return bool(operator.builtinOptions.keepDims) and self._is_constant(inputs[1])
        if name == "FULLY_CONNECTED":
            rows, columns = self._shape(inputs[1])
            given = self._shape(inputs[0])
            return self._is_constant(inputs[1]) and given[-1] == columns and int(np.prod(given[:-1])) > 1
        return name in _ANY_RANK

    # --- how ---

    def _lift(self, operator: Any, name: str) -> None:
        inputs = flatbuffer.inputs(operator)
        if name in _REDUCTIONS:
            self._move_axes(operator)
        for index in flatbuffer.outputs(operator):
            shape = self._shape(index)
            self.ranks[index] = len(shape)
            self.subgraph.tensors[index].shape = _lifted(shape)
        if name == "FULLY_CONNECTED":
            self._convolve(operator)
        else:
            inputs = [int(one) for one in operator.inputs]
            operator.inputs = np.array([self._view(one, lifted=True) for one in inputs], np.int32)
        self.operators.append(operator)

    def _view(self, index: int, lifted: bool) -> int:
        """The activation with four dimensions, or with those it had; a RESHAPE makes what is not there."""
        if index < 0 or self._is_constant(index):
            return index
        shape = self._shape(index)
        if lifted:
            wanted = _lifted(shape)
        else:
            wanted = np.array(shape[_RANK - self.ranks.get(index, _RANK) :], np.int32)
        if len(wanted) == len(shape):
            return index
        if (index, lifted) not in self.copies:
            self.copies[index, lifted] = self._reshaped(index, wanted)
        return self.copies[index, lifted]

    def _reshaped(self, index: int, sizes: NDArray[np.int32]) -> int:
        tensor = self.subgraph.tensors[index]
        name = f"{flatbuffer.text(tensor.name)}/shape{len(sizes)}"
        self.subgraph.tensors.append(schema.TensorT(name=name, type=tensor.type, shape=sizes))
        target = len(self.subgraph.tensors) - 1
        operator = schema.OperatorT(opcodeIndex=self._code(schema.BuiltinOperator.RESHAPE))
        operator.outputs = np.array([target], np.int32)
        self._make_reshape(operator, index, sizes)
        self.operators.append(operator)
        return target

    def _make_reshape(self, operator: Any, source: int, sizes: NDArray[np.int32]) -> None:
        operator.inputs = np.array([source, self._constant(sizes)], np.int32)
        operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
        operator.builtinOptions = schema.ReshapeOptionsT(newShape=sizes)

    def _reshape(self, operator: Any) -> None:
        """What it reads and gives may have more dimensions now, and it nothing to do any more."""
        source, (target,) = flatbuffer.inputs(operator)[0], flatbuffer.outputs(operator)
        shape = self._shape(target)
        if target not in self.ends and len(shape) in (2, 3):
            self.ranks[target] = len(shape)
            self.subgraph.tensors[target].shape = _lifted(shape)
            shape = self._shape(target)
            if shape == self._shape(source):
                self.same[target] = source
                self.ranks.setdefault(source, self.ranks[target])
                return
            self._make_reshape(operator, source, np.array(shape, np.int32))
        self.operators.append(operator)

    def _move_axes(self, operator: Any) -> None:
        source, axes = flatbuffer.inputs(operator)
        rank = len(self._shape(flatbuffer.outputs(operator)[0]))
        tensor = self.subgraph.tensors[axes]
        values = np.frombuffer(bytes(self.model.buffers[tensor.buffer].data), np.int32)
        moved = np.where(values < 0, values, values + _RANK - rank).astype(np.int32)
        operator.inputs = np.array([source, self._constant(moved.reshape(self._shape(axes)))], np.int32)

    def _convolve(self, operator: Any) -> None:
        source, kernel, *bias = flatbuffer.inputs(operator)
        matrix = self.subgraph.tensors[kernel]
        rows, columns = self._shape(kernel)
        self.subgraph.tensors.append(
            schema.TensorT(
                name=matrix.name,
                type=matrix.type,
                buffer=matrix.buffer,
                shape=np.array([rows, 1, 1, columns], np.int32),
            )
        )
        weights = len(self.subgraph.tensors) - 1
        added = bias[0] if bias else self._constant(np.zeros(rows, np.float32))
        operator.inputs = np.array([self._view(source, lifted=True), weights, added], np.int32)
        operator.opcodeIndex = self._code(schema.BuiltinOperator.CONV_2D)
        operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
        operator.builtinOptions = schema.Conv2DOptionsT(
            padding=schema.Padding.VALID,
            strideW=1,
            strideH=1,
            dilationWFactor=1,
            dilationHFactor=1,
            fusedActivationFunction=operator.builtinOptions.fusedActivationFunction,
        )

    def _mean_of_pixels(self, operator: Any, name: str) -> None:
        """[1, N, C] → [1, C], the mean over tokens, as one over the pixels of [1, N, 1, C]."""
        if name != "MEAN" or operator.builtinOptions.keepDims or not self._is_constant(int(operator.inputs[1])):
            return
        source, axes = flatbuffer.inputs(operator)
        tensor = self.subgraph.tensors[axes]
        values = np.frombuffer(bytes(self.model.buffers[tensor.buffer].data), np.int32).tolist()
        shape = self._shape(source)
        if len(shape) == 3 and values in ([1], [-2]):
            batch, tokens, channels = shape
            pixels = self._reshaped(source, np.array([batch, tokens, 1, channels], np.int32))
            operator.inputs = np.array([pixels, self._constant(np.array([1, 2], np.int32))], np.int32)

    # --- the model's tables ---

    def _shape(self, index: int) -> tuple[int, ...]:
        return flatbuffer.tensor_shape(self.subgraph.tensors[index])

    def _is_constant(self, index: int) -> bool:
        return flatbuffer.is_constant(self.model, self.subgraph.tensors[index])

    def _constant(self, values: NDArray[Any]) -> int:
        kind = schema.TensorType.INT32 if values.dtype == np.int32 else schema.TensorType.FLOAT32
        self.model.buffers.append(schema.BufferT(data=flatbuffer.data_vector(values.tobytes())))
        shape = np.array(values.shape, np.int32)
        self.subgraph.tensors.append(schema.TensorT(type=kind, shape=shape, buffer=len(self.model.buffers) - 1))
        return len(self.subgraph.tensors) - 1

    def _code(self, builtin: int) -> int:
        """The index of a builtin operator's code, which is added where there is none."""
        for index, code in enumerate(self.model.operatorCodes):
            if flatbuffer.builtin_code(code) == builtin:
                return index
        code = schema.OperatorCodeT(deprecatedBuiltinCode=builtin, builtinCode=builtin, version=1)
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1


def _lifted(shape: tuple[int, ...]) -> NDArray[np.int32]:
    return np.array([1] * (_RANK - len(shape)) + list(shape), np.int32)
