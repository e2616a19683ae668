"""A graph computed operation by operation, each over all images before the next, so that what is to come can be
changed by what one has given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from vitconv.foundation.quiet import native_output
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph


class Stepper:
    """The values of a graph's main subgraph, over N images.

    images: uint8 [N, H, W, 3]. values: tensor → [N, …] as it is stored, of those that an operation to come still
    reads.
    """

    def __init__(self, graph: Graph, images: NDArray[Any]) -> None:
        self._model = graph.draft()
        self.subgraph = self._model.subgraphs[0]
        self.operators: list[Any] = list(self.subgraph.operators or ())
        self._left = Counter(index for operator in self.operators for index in set(flatbuffer.inputs(operator)))
        self._left.update(int(index) for index in self.subgraph.outputs)
        (source,) = (int(index) for index in self.subgraph.inputs)
        dtype = flatbuffer.tensor_dtype(self.subgraph.tensors[source])
        self.values: dict[int, NDArray[Any]] = {source: images[:, np.newaxis].astype(dtype)}
        self._count = len(images)

    @property
    def model(self) -> Any:
        """The ModelT, whose constants may be changed before they are read."""
        return self._model

    def constant(self, index: int) -> NDArray[Any]:
        """A constant's values, in its own type and shape."""
        tensor = self.subgraph.tensors[index]
        data = np.frombuffer(bytes(self._model.buffers[tensor.buffer].data), flatbuffer.tensor_dtype(tensor))
        return data.reshape(flatbuffer.tensor_shape(tensor))

    def set_constant(self, index: int, values: NDArray[Any]) -> None:
        """Gives a constant other values, and a buffer of its own."""
        tensor = self.subgraph.tensors[index]
        data = np.ascontiguousarray(values, flatbuffer.tensor_dtype(tensor)).tobytes()
        self._model.buffers.append(schema.BufferT(data=flatbuffer.data_vector(data)))
        tensor.buffer = len(self._model.buffers) - 1

    def is_constant(self, index: int) -> bool:
        return flatbuffer.is_constant(self._model, self.subgraph.tensors[index])

    def compute(self, operator: Any) -> list[NDArray[Any]]:
        """What an operation gives for every image: [N, …] for each of its outputs. Its inputs must be there."""
        from ai_edge_litert.interpreter import Interpreter

        fed = [index for index in dict.fromkeys(flatbuffer.inputs(operator)) if index in self.values]
        with native_output():
            interpreter = Interpreter(model_content=self._alone(operator, fed), num_threads=1)
            interpreter.allocate_tensors()
        sources = [detail["index"] for detail in interpreter.get_input_details()]
        targets = [detail["index"] for detail in interpreter.get_output_details()]
        found: list[list[NDArray[Any]]] = [[] for _ in targets]
        for number in range(self._count):
            for index, source in zip(fed, sources, strict=True):
                interpreter.set_tensor(source, self.values[index][number])
            interpreter.invoke()
            for rows, target in zip(found, targets, strict=True):
                rows.append(interpreter.get_tensor(target))
        return [np.stack(rows) for rows in found]

    def keep(self, operator: Any, given: Sequence[NDArray[Any]]) -> None:
        """Takes what the operation computes for its outputs, and forgets what nobody will read any more."""
        for index, values in zip(flatbuffer.outputs(operator), given, strict=True):
            self.values[index] = values
        for index in set(flatbuffer.inputs(operator)):
            self._left[index] -= 1
            if not self._left[index]:
                self.values.pop(index, None)

    def graph(self, name: str) -> Graph:
        """The graph with its constants as they are now."""
        return Graph(self._model, name)

    def _alone(self, operator: Any, fed: Sequence[int]) -> bytes:
        """The file of one operation."""
        places: dict[int, int] = {}
        tensors: list[Any] = []
        buffers: list[Any] = [schema.BufferT()]
        for index in (*flatbuffer.inputs(operator), *flatbuffer.outputs(operator)):
            if index in places:
                continue
            tensor = copy(self.subgraph.tensors[index])
            tensor.name = f"tensor{len(tensors)}"
            if self.is_constant(index):
                buffers.append(self._model.buffers[tensor.buffer])
                tensor.buffer = len(buffers) - 1
            else:
                tensor.buffer = 0
            places[index] = len(tensors)
            tensors.append(tensor)
        code = copy(self._model.operatorCodes[operator.opcodeIndex])
        one = copy(operator)
        one.opcodeIndex = 0
        one.inputs = np.array([places.get(int(index), -1) for index in operator.inputs], np.int32)
        one.outputs = np.array([places[index] for index in flatbuffer.outputs(operator)], np.int32)
        subgraph = schema.SubGraphT(
            tensors=tensors,
            inputs=np.array([places[index] for index in fed], np.int32),
            outputs=one.outputs,
            operators=[one],
        )
        model = schema.ModelT(version=3, operatorCodes=[code], subgraphs=[subgraph], buffers=buffers)
        return flatbuffer.serialize(model)
