"""Products of two activations as products of rows with rows.

TFLite's BATCH_MATMUL multiplies the rows of the first matrix with the columns of the second, or (`adjY`) with its
rows. In the x86_64 library of TFLite 2.16.1, which has no XNNPACK operator for either, the second is twenty times
faster: one [1024, 1024] × [1024, 64] takes 189 ms, and 7 ms with a TRANSPOSE before it. On arm64, and in
LiteRT 2.3, both cost the same.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph


def as_row_products(graph: Graph) -> Graph:
    """The float graph with a TRANSPOSE before the second matrix of each product that reads its columns.

    Constants, and matrices of a single column, are left as they are.
    """
    model = graph.draft()
    subgraph = model.subgraphs[0]
    names = flatbuffer.operator_names(model)
    operators: list[Any] = []
    for operator in subgraph.operators or ():
        if names[operator.opcodeIndex] == "BATCH_MATMUL" and not operator.builtinOptions.adjY:
            first, second = flatbuffer.inputs(operator)
            tensor = subgraph.tensors[second]
            if not flatbuffer.is_constant(model, tensor) and flatbuffer.tensor_shape(tensor)[-1] > 1:
                transpose = _transpose(model, subgraph, second)
                operators.append(transpose)
                operator.inputs = np.array([first, *flatbuffer.outputs(transpose)], np.int32)
                operator.builtinOptions.adjY = True
        operators.append(operator)
    subgraph.operators = operators
    return Graph(model, graph.name)


def _transpose(model: Any, subgraph: Any, index: int) -> Any:
    """The operator that swaps a tensor's last two axes, not yet among the others."""
    given = subgraph.tensors[index]
    *outer, rows, columns = flatbuffer.tensor_shape(given)
    order = np.array([*range(len(outer)), len(outer) + 1, len(outer)], np.int32)
    model.buffers.append(schema.BufferT(data=flatbuffer.data_vector(order.tobytes())))
    axes = schema.TensorT(
        type=schema.TensorType.INT32, shape=np.array([len(order)], np.int32), buffer=len(model.buffers) - 1
    )
    turned = copy(given)
    turned.shape = np.array([*outer, columns, rows], np.int32)
    # The name of what it turns, and of its own: layers are told by them.
    turned.name = f"{flatbuffer.text(given.name).partition(';')[0]}/transposed"
    places = len(subgraph.tensors), len(subgraph.tensors) + 1
    subgraph.tensors += [axes, turned]
    return schema.OperatorT(
        opcodeIndex=flatbuffer.code_index(model, schema.BuiltinOperator.TRANSPOSE),
        inputs=np.array([index, places[0]], np.int32),
        outputs=np.array([places[1]], np.int32),
        builtinOptionsType=schema.BuiltinOptions.TransposeOptions,
        builtinOptions=schema.TransposeOptionsT(),
    )
