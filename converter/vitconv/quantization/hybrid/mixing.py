"""Files of which some operations are float and the others integers, put together from the two pure ones.

A search for what stays float asks for a hundred of them, and TensorFlow's quantizer takes seconds for each. But it
computes an operation in one of two ways, whatever the others are: two graphs have all that is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True, eq=False)
class Mixture:
    """A float graph, and what the quantizer made of it with all operations in integers, input and output float.

    steps: each operation, as OperatorT of the one and of the other. sources: tensor of the integer graph → the
    tensor of the float graph whose values it holds; constants are in neither.
    """

    floats: Graph = field(repr=False)
    integers: Graph = field(repr=False)
    steps: tuple[tuple[Any, Any], ...] = field(repr=False)
    sources: Mapping[int, int] = field(repr=False)

    @classmethod
    def of(cls, floats: Graph, integers: Graph) -> Mixture | None:
        """None where the quantizer changed more than types, so that operations do not stand one for one."""
        if len(floats.model.subgraphs) != 1:
            return None
        main, other = floats.model.subgraphs[0], integers.model.subgraphs[0]
        names = flatbuffer.operator_names(integers.model)
        inner = [op for op in other.operators if names[op.opcodeIndex] not in _CONVERSIONS]
        steps = tuple(zip(main.operators, inner, strict=False))
        if len(inner) != len(main.operators) or not all(_same(floats, integers, *step) for step in steps):
            return None
        sources = {int(other.inputs[0]): int(main.inputs[0])}
        for first, second in steps:
            sources.update(zip(flatbuffer.outputs(second), flatbuffer.outputs(first), strict=True))
        for operator in other.operators:
            if names[operator.opcodeIndex] in _CONVERSIONS:
                (source,), (target,) = flatbuffer.inputs(operator), flatbuffer.outputs(operator)
                if source in sources:  # else it is a constant
                    sources[target] = sources[source]
        mixture = cls(floats, integers, steps, sources)
        return mixture if all(mixture._reads_the_same(*step) for step in steps) else None

    def mixed(self, kept: Collection[str]) -> Graph:
        """The graph in which the operations that compute the tensors of these names are float and the others
        integers, with conversions between them. Input and output are float."""
        return _Mixing(self).graph(frozenset(kept))

    def is_float(self, first: Any, second: Any, kept: Collection[str]) -> bool:
        """Whether a step is computed in float: one that is to be, and one that the quantizer left so."""
        name = flatbuffer.text(self.floats.model.subgraphs[0].tensors[flatbuffer.outputs(first)[0]].name)
        tensors = self.integers.model.subgraphs[0].tensors
        touched = [index for index in flatbuffer.inputs(second) if index in self.sources]
        touched += flatbuffer.outputs(second)
        return name in kept or any(flatbuffer.tensor_dtype(tensors[index]) == "float32" for index in touched)

    def _reads_the_same(self, first: Any, second: Any) -> bool:
        model = self.floats.model
        tensors = model.subgraphs[0].tensors
        one = [index for index in flatbuffer.inputs(first) if not flatbuffer.is_constant(model, tensors[index])]
        return one == [self.sources[index] for index in flatbuffer.inputs(second) if index in self.sources]


def _same(floats: Graph, integers: Graph, first: Any, second: Any) -> bool:
    """Whether the second is the first one's operation."""
    codes = (graph.model.operatorCodes[op.opcodeIndex] for graph, op in ((floats, first), (integers, second)))
    one, other = map(flatbuffer.builtin_code, codes)
    return one == other and len(flatbuffer.outputs(first)) == len(flatbuffer.outputs(second))


class _Mixing:
    """A mixed graph in the making: operations, and what they need, are taken from the two graphs one by one.

    floats: tensor of the float graph → the one here with its values; integers: likewise of the integer graph.
    computed: tensor of the float graph → the integer graph's tensor that was computed in its place.
    """

    def __init__(self, mixture: Mixture) -> None:
        self._mixture = mixture
        self._sides = (mixture.floats.model, mixture.integers.model)
        self._main = copy(self._sides[0].subgraphs[0])
        self._main.tensors, self._main.operators = [], []
        self._model = copy(self._sides[0])
        self._model.subgraphs, self._model.operatorCodes = [self._main], []
        self._model.buffers, self._model.metadata = [schema.BufferT()], None
        self._model.metadataBuffer = self._model.signatureDefs = None
        self._floats: dict[int, int] = {}
        self._integers: dict[int, int] = {}
        self._computed: dict[int, int] = {}
        self._buffers: dict[tuple[int, int], int] = {}
        self._codes: dict[tuple[int, bytes | str | None, int], int] = {}

    def graph(self, kept: Collection[str]) -> Graph:
        inputs, outputs = (
            [int(index) for index in found]
            for found in (self._sides[0].subgraphs[0].inputs, self._sides[0].subgraphs[0].outputs)
        )
        self._floats = {index: self._tensor(0, index) for index in inputs}
        self._main.inputs = np.array([self._floats[index] for index in inputs], np.int32)
        for first, second in self._mixture.steps:
            if self._mixture.is_float(first, second, kept):
                read = [self._as_float(int(index)) for index in first.inputs]
                made = {index: self._tensor(0, index) for index in flatbuffer.outputs(first)}
                self._floats.update(made)
                self._operator(first, self._sides[0].operatorCodes[first.opcodeIndex], read, [*made.values()])
            else:
                read = [self._as_integer(int(index)) for index in second.inputs]
                made = {index: self._tensor(1, index) for index in flatbuffer.outputs(second)}
                self._integers.update(made)
                self._computed.update({self._mixture.sources[index]: index for index in made})
                self._operator(second, self._sides[1].operatorCodes[second.opcodeIndex], read, [*made.values()])
        self._main.outputs = np.array([self._as_float(index) for index in outputs], np.int32)
        return Graph(self._model, self._mixture.floats.name)

    def _as_float(self, index: int) -> int:
        """The tensor here with a float graph's values; it and what it takes are made where they are not there."""
        if index < 0:  # an optional input that is not there
            return index
        if index not in self._floats:
            if index not in self._computed:
                self._floats[index] = self._tensor(0, index)  # a constant
            elif self._is_converted(index):
                self._floats[index] = self._tensor(0, index)
                source = self._integers[self._computed[index]]
                self._conversion(schema.BuiltinOperator.DEQUANTIZE, source, self._floats[index])
            else:
                self._floats[index] = self._integers[self._computed[index]]
        return self._floats[index]

    def _as_integer(self, index: int) -> int:
        """The tensor here with an integer graph's values, likewise."""
        if index < 0:
            return index
        if index not in self._integers:
            source = self._mixture.sources.get(index)
            if source is None:
                self._integers[index] = self._tensor(1, index)  # a constant
            elif self._is_converted(source):
                computed = self._computed.get(source)
                values = self._floats[source] if computed is None else self._integers[computed]
                self._integers[index] = self._tensor(1, index)
                self._conversion(schema.BuiltinOperator.QUANTIZE, values, self._integers[index])
            else:
                self._integers[index] = self._as_float(source)
        return self._integers[index]

    def _is_converted(self, index: int) -> bool:
        """Whether a tensor of the float graph is of another type in integers; indices and conditions are not."""
        return flatbuffer.tensor_dtype(self._sides[0].subgraphs[0].tensors[index]) == "float32"

    def _conversion(self, builtin: int, source: int, target: int) -> None:
        code = schema.OperatorCodeT(deprecatedBuiltinCode=builtin, builtinCode=builtin, version=2)
        self._operator(schema.OperatorT(), code, [source], [target])

    def _operator(self, operator: Any, code: Any, read: list[int], made: list[int]) -> None:
        key = (flatbuffer.builtin_code(code), code.customCode, code.version)
        if key not in self._codes:
            self._codes[key] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(code)
        changed = copy(operator)
        changed.opcodeIndex = self._codes[key]
        changed.inputs, changed.outputs = np.array(read, np.int32), np.array(made, np.int32)
        self._main.operators.append(changed)

    def _tensor(self, side: int, index: int) -> int:
        tensor = copy(self._sides[side].subgraphs[0].tensors[index])
        place = (side, tensor.buffer)
        if not flatbuffer.is_constant(self._sides[side], tensor):
            self._buffers[place] = 0
        elif place not in self._buffers:
            self._buffers[place] = len(self._model.buffers)
            self._model.buffers.append(self._sides[side].buffers[tensor.buffer])
        tensor.buffer = self._buffers[place]
        self._main.tensors.append(tensor)
        return len(self._main.tensors) - 1
