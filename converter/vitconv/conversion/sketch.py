"""A float graph that is being rewritten: tensors, operators, who makes and who reads what, and new operators."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from vitconv.foundation.errors import ModelFileError
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

# Operator → the name of its options in the schema, for those that rules write.
_OPTIONS = {
    "ADD": "AddOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "EXP": "ExpOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "REDUCE_MAX": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "SLICE": "SliceOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SUB": "SubOptions",
    "TRANSPOSE": "TransposeOptions",
}


class Sketch:
    """The main subgraph of a float graph, to be changed by rules; `graph` is what has become of it.

    Operators are the schema's OperatorT, tensors are indices. New operators are written before the one that
    `before` names, so that the order stays one in which the graph can be computed.
    """

    def __init__(self, graph: Graph) -> None:
        if len(graph.model.subgraphs) > 1:
            raise ModelFileError(
                f"{graph.name} has control flow (a loop or a condition), {len(graph.model.subgraphs)} graphs in "
                "one. Give a model whose answer is one straight computation."
            )
        self.name = graph.name
        self.model = graph.draft()
        self.subgraph = self.model.subgraphs[0]
        self.subgraph.operators = list(self.subgraph.operators or ())
        self._index()

    # --- reading ---

    @property
    def graph(self) -> Graph:
        """The graph as it is now, without operators that nobody needs the results of."""
        self._drop_unused()
        return Graph(self.model, self.name)

    @property
    def operators(self) -> list[Any]:
        """All, in order: a copy, so that rules may change the graph on their way through it."""
        return list(self.subgraph.operators)

    @property
    def ends(self) -> set[int]:
        """The graph's inputs and outputs."""
        return {*_numbers(self.subgraph.inputs), *_numbers(self.subgraph.outputs)}

    def kind(self, operator: Any) -> str | None:
        """Its name: CONV_2D …; None of None."""
        return None if operator is None else self._names[operator.opcodeIndex]

    def maker(self, tensor: int, *kinds: str) -> Any:
        """The operator that computes a tensor, where it is one of these kinds (of any, where none is named)."""
        operator = self._makers.get(tensor)
        return operator if operator is not None and (not kinds or self.kind(operator) in kinds) else None

    def readers(self, tensor: int) -> list[Any]:
        """The operators that read a tensor, each once."""
        return self._readers.get(tensor, [])

    def only_reader(self, tensor: int, *kinds: str) -> Any:
        """The operator that alone reads a tensor which is no output of the graph, where it is of these kinds."""
        found = self.readers(tensor)
        if len(found) != 1 or tensor in self.ends or (kinds and self.kind(found[0]) not in kinds):
            return None
        return found[0]

    def shape(self, tensor: int) -> tuple[int, ...]:
        return flatbuffer.tensor_shape(self.subgraph.tensors[tensor])

    def label(self, tensor: int) -> str:
        """The first of a tensor's names, by which its layer is told."""
        return flatbuffer.text(self.subgraph.tensors[tensor].name).partition(";")[0]

    def constant(self, tensor: int) -> NDArray[Any] | None:
        """A constant's values; None of what is computed, and of types that NumPy has not."""
        record = self.subgraph.tensors[tensor]
        if not flatbuffer.is_constant(self.model, record) or record.sparsity is not None:
            return None
        data = bytes(self.model.buffers[record.buffer].data)
        try:
            return np.frombuffer(data, flatbuffer.tensor_dtype(record)).reshape(self.shape(tensor))
        except (TypeError, ValueError):
            return None

    def is_float(self, tensor: int) -> bool:
        return flatbuffer.tensor_dtype(self.subgraph.tensors[tensor]) == "float32"

    def split_constant(self, operator: Any) -> tuple[int, NDArray[Any]] | None:
        """Of an operator with two operands one of which is a float constant: the other, and its values."""
        operands = flatbuffer.inputs(operator)
        if len(operands) != 2 or (operator.builtinOptions is not None and fused_activation(operator)):
            return None
        for place in (1, 0):
            values = self.constant(operands[place])
            if values is not None and values.dtype == np.float32 and self.constant(operands[1 - place]) is None:
                return operands[1 - place], values
        return None

    # --- writing ---

    def put(self, values: NDArray[Any] | Sequence[float]) -> int:
        """A new constant: float32, or int32 where the values are integers."""
        array = np.asarray(values)
        array = array.astype(np.int32 if array.dtype.kind in "iu" else np.float32)
        kind = schema.TensorType.INT32 if array.dtype == np.int32 else schema.TensorType.FLOAT32
        self.model.buffers.append(schema.BufferT(data=flatbuffer.data_vector(array.tobytes())))
        tensor = schema.TensorT(type=kind, shape=np.array(array.shape, np.int32), name="")
        tensor.buffer = len(self.model.buffers) - 1
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def add(
        self,
        before: Any,
        kind: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        label: str,
        *,
        into: int | None = None,
        **options: Any,
    ) -> int:
        """A new operator in front of another (None: behind all), and the float tensor of that shape which it
        computes: a new one, or `into`, which must have no other maker left."""
        if into is None:
            self.subgraph.tensors.append(
                schema.TensorT(
                    type=schema.TensorType.FLOAT32,
                    shape=np.array(shape, np.int32),
                    name=self._free(label),
                    buffer=0,
                )
            )
            into = len(self.subgraph.tensors) - 1
        operator = schema.OperatorT(
            opcodeIndex=flatbuffer.code_index(self.model, getattr(schema.BuiltinOperator, kind)),
            inputs=np.array(inputs, np.int32),
            outputs=np.array([into], np.int32),
        )
        if kind in _OPTIONS:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, _OPTIONS[kind])
            operator.builtinOptions = getattr(schema, f"{_OPTIONS[kind]}T")()
            for name, value in options.items():
                setattr(operator.builtinOptions, name, value)
        places = (index for index, other in enumerate(self.subgraph.operators) if other is before)
        self.subgraph.operators.insert(next(places, len(self.subgraph.operators)), operator)
        self._names = flatbuffer.operator_names(self.model)
        self._makers[into] = operator
        self._reads(operator)
        return into

    def reshape(self, before: Any, tensor: int, shape: Sequence[int], label: str, into: int | None = None) -> int:
        """The tensor in another shape; itself where it has that and no other is wanted."""
        if into is None and self.shape(tensor) == tuple(shape):
            return tensor
        sizes = np.array(shape, np.int32)
        return self.add(before, "RESHAPE", [tensor, self.put(sizes)], shape, label, into=into, newShape=sizes)

    def remove(self, *operators: Any) -> None:
        gone = {id(operator) for operator in operators}
        self.subgraph.operators = [operator for operator in self.subgraph.operators if id(operator) not in gone]
        for operator in operators:
            self._reads_no_more(operator)
            for output in flatbuffer.outputs(operator):
                if self._makers.get(output) is operator:
                    del self._makers[output]

    def reshaped_output(self, operator: Any, shape: Sequence[int]) -> None:
        """Has an operator compute its first tensor in another shape, with a RESHAPE behind it for those who read
        that tensor."""
        old = flatbuffer.outputs(operator)[0]
        if self.shape(old) == tuple(shape):
            return
        record = self.subgraph.tensors[old]
        self.subgraph.tensors.append(
            schema.TensorT(
                type=record.type, shape=np.array(shape, np.int32), name=self._free(self.label(old)), buffer=0
            )
        )
        others = flatbuffer.outputs(operator)[1:]
        del self._makers[old]
        self._makers[len(self.subgraph.tensors) - 1] = operator
        operator.outputs = np.array([len(self.subgraph.tensors) - 1, *others], np.int32)
        place = next(index for index, other in enumerate(self.subgraph.operators) if other is operator)
        following = self.subgraph.operators[place + 1] if place + 1 < len(self.subgraph.operators) else None
        self.reshape(following, flatbuffer.outputs(operator)[0], self.shape(old), "", into=old)

    def rewire(self, operator: Any, inputs: Iterable[int]) -> None:
        """Has an operator read other tensors."""
        self._reads_no_more(operator)
        operator.inputs = np.array(list(inputs), np.int32)
        self._reads(operator)

    def replace(self, old: int, new: int) -> None:
        """Has everybody who reads `old` read `new`."""
        for operator in list(self.readers(old)):
            self.rewire(operator, (new if tensor == old else tensor for tensor in _numbers(operator.inputs)))

    def _index(self) -> None:
        self._names = flatbuffer.operator_names(self.model)
        self._makers = {out: op for op in self.subgraph.operators for out in flatbuffer.outputs(op)}
        self._readers = flatbuffer.readers(self.subgraph)
        self._taken = {self.label(index) for index in range(len(self.subgraph.tensors))}

    def _reads(self, operator: Any) -> None:
        for tensor in dict.fromkeys(flatbuffer.inputs(operator)):
            self._readers.setdefault(tensor, []).append(operator)

    def _reads_no_more(self, operator: Any) -> None:
        for tensor in dict.fromkeys(flatbuffer.inputs(operator)):
            self._readers[tensor] = [other for other in self._readers[tensor] if other is not operator]

    def _free(self, label: str) -> str:
        """The label, with a number where a tensor has it: ranges and layers go by names."""
        name, number = label, 1
        while name in self._taken:
            name, number = f"{label}_{number}", number + 1
        self._taken.add(name)
        return name

    def _drop_unused(self) -> None:
        wanted = set(_numbers(self.subgraph.outputs))
        kept = []
        for operator in reversed(self.subgraph.operators):
            if wanted & set(flatbuffer.outputs(operator)):
                wanted.update(flatbuffer.inputs(operator))
                kept.append(operator)
        self.subgraph.operators = kept[::-1]
        self._index()


def fused_activation(operator: Any) -> int:
    """The activation that an operator applies to what it computes; 0 for none."""
    return int(getattr(operator.builtinOptions, "fusedActivationFunction", 0) or 0)


def _numbers(values: Any) -> list[int]:
    return [] if values is None else [int(value) for value in values]
