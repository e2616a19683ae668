"""Dense layers of a graph written as convolutions of 1×1, and means over tokens as means over pixels.

They compute the same, but not in the same time: for a dense kernel in eight bits with a scale for each channel the
XNNPACK of TFLite 2.16.1, Android's newest, has no operator, and of a convolution's it has; and of means it takes
those over height and width alone. A convolution reads four dimensions, so the tokens [1, N, C] between dense
layers become [1, 1, N, C].
"""

from __future__ import annotations

import math
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


class _Lifting:
    """One graph on its way, operator by operator."""

    def __init__(self, graph: Graph) -> None:
        self.name = graph.name
        self.model = graph.draft()
        self.subgraph = self.model.subgraphs[0]
        self.operators: list[Any] = []
        ends = [*_numbers(self.subgraph.inputs), *_numbers(self.subgraph.outputs)]
        self._ends = frozenset(ends)
        self._shapes: dict[int, tuple[int, ...]] = {}  # lifted tensor → the shape it had
        self._same: dict[int, int] = {}  # what a RESHAPE without effect gave → what it read
        self._views: dict[tuple[int, tuple[int, ...]], int] = {}  # (tensor, shape) → the tensor in that shape

    def result(self) -> Graph:
        names = flatbuffer.operator_names(self.model)
        for operator in self.subgraph.operators or ():
            name = names[operator.opcodeIndex]
            if name == "RESHAPE":
                self._reshape(operator)
            elif self._lifts(operator, name):
                self._lift(operator, name)
            else:
                self._keep(operator, name)
        self.subgraph.operators = self.operators
        return Graph(self.model, self.name)

    def _lifts(self, operator: Any, name: str) -> bool:
        """Whether it computes tokens, and can do so in four dimensions."""
        inputs, outputs = flatbuffer.inputs(operator), flatbuffer.outputs(operator)
        if self._ends & set(outputs) or not all(len(self._shape(index)) in (2, 3, _RANK) for index in outputs):
            return False
        if name in _REDUCTIONS:
            return bool(operator.builtinOptions.keepDims) and self._is_constant(inputs[1])
        if name == "FULLY_CONNECTED":
            tokens, columns = self._shape(inputs[0]), self._shape(inputs[1])[-1]
            return self._is_constant(inputs[1]) and tokens[-1] == columns and math.prod(tokens[:-1]) > 1
        return name in _ANY_RANK

    def _lift(self, operator: Any, name: str) -> None:
        inputs, outputs = _numbers(operator.inputs), flatbuffer.outputs(operator)
        if name in _REDUCTIONS:
            inputs[1] = self._moved(inputs[1], _RANK - len(self._shape(outputs[0])))
        shapes = [_lifted(self._shape(index)) if index >= 0 else () for index in inputs]
        if name == "FULLY_CONNECTED":  # may make rows of pixels
            shapes[0] = (*_lifted(self._shape(outputs[0]))[:-1], shapes[0][-1])
        inputs = [self._view(index, shape) for index, shape in zip(inputs, shapes, strict=True)]
        for index in outputs:
            self._give_more_dimensions(index)
        operator.inputs = np.array(inputs, np.int32)
        if name == "FULLY_CONNECTED":
            self._convolve(operator)
        self.operators.append(operator)

    def _keep(self, operator: Any, name: str) -> None:
        """As it is, with what it reads in the shape that it had."""
        inputs = _numbers(operator.inputs)
        if name == "MEAN" and self._is_of_tokens(operator):
            batch, tokens, channels = self._shapes.get(inputs[0], self._shape(inputs[0]))
            inputs = [
                self._view(inputs[0], (batch, tokens, 1, channels)),
                self._constant(np.array([1, 2], np.int32)),
            ]
        operator.inputs = np.array(
            [self._view(index, self._shapes.get(index, self._shape(index))) for index in inputs], np.int32
        )
        self.operators.append(operator)

    def _reshape(self, operator: Any) -> None:
        """What it gives may have more dimensions now, and it nothing to do any more."""
        source, target = flatbuffer.inputs(operator)[0], flatbuffer.outputs(operator)[0]
        source = self._same.get(source, source)
        if target not in self._ends and len(self._shape(target)) in (2, 3):
            self._give_more_dimensions(target)
        if target not in self._ends and self._shape(source) == self._shape(target):
            self._same[target] = source
            return
        self._fill_reshape(operator, source, self._shape(target))
        self.operators.append(operator)
        self._views.setdefault((source, self._shape(target)), target)

    def _is_of_tokens(self, operator: Any) -> bool:
        """Whether a MEAN makes [batch, C] of [batch, N, C]."""
        source, axes = flatbuffer.inputs(operator)
        if operator.builtinOptions.keepDims or not self._is_constant(axes):
            return False
        shape = self._shapes.get(source, self._shape(source))
        return len(shape) == 3 and self._values(axes).ravel().tolist() in ([1], [-2])

    def _give_more_dimensions(self, index: int) -> None:
        self._shapes[index] = self._shape(index)
        self.subgraph.tensors[index].shape = np.array(_lifted(self._shape(index)), np.int32)

    def _view(self, index: int, shape: tuple[int, ...]) -> int:
        """The activation in that shape; a RESHAPE makes what is not there."""
        if index < 0 or self._is_constant(index):
            return index
        source = self._same.get(index, index)
        if self._shape(source) == shape:
            return source
        if (source, shape) not in self._views:
            tensor = self.subgraph.tensors[source]
            # The name of what it views, and of its own: ranges go by names.
            name = f"{flatbuffer.text(tensor.name).partition(';')[0]}/{'x'.join(map(str, shape))}"
            target = self._added(schema.TensorT(name=name, type=tensor.type, shape=np.array(shape, np.int32)))
            operator = schema.OperatorT(
                opcodeIndex=flatbuffer.code_index(self.model, schema.BuiltinOperator.RESHAPE)
            )
            operator.outputs = np.array([target], np.int32)
            self._fill_reshape(operator, source, shape)
            self.operators.append(operator)
            self._views[source, shape] = target
        return self._views[source, shape]

    def _fill_reshape(self, operator: Any, source: int, shape: tuple[int, ...]) -> None:
        sizes = np.array(shape, np.int32)
        operator.inputs = np.array([source, self._constant(sizes)], np.int32)
        operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
        operator.builtinOptions = schema.ReshapeOptionsT(newShape=sizes)

    def _moved(self, axes: int, by: int) -> int:
        """The axes, counted from the first dimension or from the last, behind so many more dimensions."""
        values = self._values(axes)
        return self._constant(np.where(values < 0, values, values + by).astype(np.int32))

    def _convolve(self, operator: Any) -> None:
        source, kernel, *bias = _numbers(operator.inputs)
        matrix = self.subgraph.tensors[kernel]
        rows, columns = self._shape(kernel)
        weights = self._added(
            schema.TensorT(
                name=matrix.name,
                type=matrix.type,
                buffer=matrix.buffer,
                shape=np.array([rows, 1, 1, columns], np.int32),
            )
        )
        added = bias[0] if bias and bias[0] >= 0 else self._constant(np.zeros(rows, np.float32))
        operator.inputs = np.array([source, weights, added], np.int32)
        operator.opcodeIndex = flatbuffer.code_index(self.model, schema.BuiltinOperator.CONV_2D)
        operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
        operator.builtinOptions = schema.Conv2DOptionsT(
            padding=schema.Padding.VALID,
            strideW=1,
            strideH=1,
            dilationWFactor=1,
            dilationHFactor=1,
            fusedActivationFunction=operator.builtinOptions.fusedActivationFunction,
        )

    # --- the model's tables ---

    def _shape(self, index: int) -> tuple[int, ...]:
        return flatbuffer.tensor_shape(self.subgraph.tensors[index])

    def _is_constant(self, index: int) -> bool:
        return flatbuffer.is_constant(self.model, self.subgraph.tensors[index])

    def _values(self, index: int) -> NDArray[np.int32]:
        tensor = self.subgraph.tensors[index]
        return np.frombuffer(bytes(self.model.buffers[tensor.buffer].data), np.int32).reshape(self._shape(index))

    def _constant(self, values: NDArray[Any]) -> int:
        kind = schema.TensorType.INT32 if values.dtype == np.int32 else schema.TensorType.FLOAT32
        self.model.buffers.append(schema.BufferT(data=flatbuffer.data_vector(values.tobytes())))
        place = len(self.model.buffers) - 1
        return self._added(schema.TensorT(type=kind, shape=np.array(values.shape, np.int32), buffer=place))

    def _added(self, tensor: Any) -> int:
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1


def _numbers(values: Any) -> list[int]:
    """A vector of the object API, which is None where it was left out."""
    return [] if values is None else [int(value) for value in values]


def _lifted(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * (_RANK - len(shape)) + shape
