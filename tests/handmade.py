"""Small .tflite graphs written by hand, operator by operator, as other tools write them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph


@dataclass
class Handmade:
    """A graph under construction, of float32 tensors. What its methods give are tensors' indices.

    The first tensor made is the graph's input, unless `inputs` says otherwise.
    """

    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])
    operators: list[Any] = field(default_factory=list)
    codes: list[Any] = field(default_factory=list)

    def tensor(self, *shape: int, name: str = "") -> int:
        """A tensor without data: the input, or what an operator computes."""
        self.tensors.append(
            schema.TensorT(
                shape=np.array(shape, np.int32),
                type=schema.TensorType.FLOAT32,
                name=name or f"tensor{len(self.tensors)}",
            )
        )
        return len(self.tensors) - 1

    def constant(self, values: Any, name: str = "") -> int:
        array = np.asarray(values, np.float32)
        index = self.tensor(*array.shape, name=name)
        self.buffers.append(schema.BufferT(data=flatbuffer.data_vector(array.tobytes())))
        self.tensors[index].buffer = len(self.buffers) - 1
        return index

    def operator(self, name: str, inputs: list[int], outputs: list[int], options: Any = None) -> None:
        code = schema.OperatorCodeT(builtinCode=getattr(schema.BuiltinOperator, name), version=1)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        self.codes.append(code)
        kind = 0 if options is None else getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        self.operators.append(
            schema.OperatorT(
                opcodeIndex=len(self.codes) - 1,
                inputs=np.array(inputs, np.int32),
                outputs=np.array(outputs, np.int32),
                builtinOptions=options,
                builtinOptionsType=kind,
            )
        )

    def arithmetic(self, name: str, first: int, second: int, shape: tuple[int, ...], activation: int = 0) -> int:
        """ADD, SUB, MUL or DIV of two tensors."""
        kinds = {"ADD": schema.AddOptionsT, "SUB": schema.SubOptionsT, "MUL": schema.MulOptionsT}
        options = kinds.get(name, schema.DivOptionsT)(fusedActivationFunction=activation)
        output = self.tensor(*shape)
        self.operator(name, [first, second], [output], options)
        return output

    def integers(self, *values: int) -> int:
        """A constant of int32: a shape, or axes."""
        index = self.constant(np.zeros(len(values)))
        tensor = self.tensors[index]
        tensor.type = schema.TensorType.INT32
        self.buffers[tensor.buffer].data = flatbuffer.data_vector(np.array(values, np.int32).tobytes())
        return index

    def booleans(self, values: Any) -> int:
        """A constant of truth values."""
        array = np.asarray(values, np.bool_)
        index = self.constant(np.zeros(array.shape))
        tensor = self.tensors[index]
        tensor.type = schema.TensorType.BOOL
        self.buffers[tensor.buffer].data = flatbuffer.data_vector(array.tobytes())
        return index

    def computed(self, name: str, inputs: list[int], shape: tuple[int, ...], options: Any = None) -> int:
        """Any operator with one result of that shape."""
        output = self.tensor(*shape)
        self.operator(name, inputs, [output], options)
        return output

    def reduced(self, name: str, source: int, axes: tuple[int, ...], shape: tuple[int, ...]) -> int:
        """SUM, MEAN or REDUCE_MAX that keeps the axes at length 1."""
        return self.computed(name, [source, self.integers(*axes)], shape, schema.ReducerOptionsT(keepDims=True))

    def reshaped(self, source: int, *shape: int) -> int:
        options = schema.ReshapeOptionsT(newShape=np.array(shape, np.int32))
        return self.computed("RESHAPE", [source, self.integers(*shape)], shape, options)

    def transposed(self, source: int, order: tuple[int, ...]) -> int:
        shape = flatbuffer.tensor_shape(self.tensors[source])
        turned = tuple(shape[axis] for axis in order)
        return self.computed("TRANSPOSE", [source, self.integers(*order)], turned, schema.TransposeOptionsT())

    def dense(self, source: int, kernel: Any, bias: Any = None) -> int:
        """FULLY_CONNECTED over the last axis; kernel [out, in]."""
        shape = (*flatbuffer.tensor_shape(self.tensors[source])[:-1], len(kernel))
        added = -1 if bias is None else self.constant(bias)
        options = schema.FullyConnectedOptionsT(keepNumDims=True)
        return self.computed("FULLY_CONNECTED", [source, self.constant(kernel), added], shape, options)

    def product(self, first: int, second: int, shape: tuple[int, ...], rows: bool = False) -> int:
        """BATCH_MATMUL; `rows`: of rows with rows."""
        return self.computed("BATCH_MATMUL", [first, second], shape, schema.BatchMatMulOptionsT(adjY=rows))

    def convolution(
        self,
        source: int,
        kernel: int,
        bias: int | None,
        shape: tuple[int, ...],
        stride: int = 1,
        same: bool = False,
    ) -> int:
        """CONV_2D; `bias` None leaves the input out, -1 says that there is none."""
        output = self.tensor(*shape)
        options = schema.Conv2DOptionsT(
            padding=schema.Padding.SAME if same else schema.Padding.VALID,
            strideW=stride,
            strideH=stride,
            dilationWFactor=1,
            dilationHFactor=1,
        )
        self.operator("CONV_2D", [source, kernel, *([] if bias is None else [bias])], [output], options)
        return output

    def subgraph(self, inputs: list[int], outputs: list[int], name: str = "main") -> Any:
        return schema.SubGraphT(
            tensors=self.tensors,
            operators=self.operators,
            inputs=np.array(inputs, np.int32),
            outputs=np.array(outputs, np.int32),
            name=name,
        )

    def graph(self, outputs: list[int], inputs: tuple[int, ...] = (0,), others: tuple[Any, ...] = ()) -> Graph:
        """The finished graph, read from its bytes as a file's. `others` are further subgraphs (SubGraphT), whose
        tensors have no data."""
        model = schema.ModelT(
            version=3,
            operatorCodes=self.codes,
            subgraphs=[self.subgraph(list(inputs), outputs), *others],
            buffers=self.buffers,
        )
        return Graph.parse(flatbuffer.serialize(model), "handmade")


def run(graph: Graph, picture: np.ndarray) -> list[np.ndarray]:
    """What LiteRT computes of a picture [1, H, W, C], output by output."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=graph.data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture.astype(np.float32))
    interpreter.invoke()
    return [np.array(interpreter.get_tensor(output["index"])) for output in interpreter.get_output_details()]


def operators(graph: Graph) -> list[str]:
    """The names of the main subgraph's operators, in order."""
    names = flatbuffer.operator_names(graph.model)
    return [names[operator.opcodeIndex] for operator in graph.model.subgraphs[0].operators]
