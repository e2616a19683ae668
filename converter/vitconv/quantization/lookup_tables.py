"""Operators that TFLite computes in integers and TensorFlow's quantizer leaves in float.

ELU is one: in int8 it is a table of 256 entries, and the quantizer writes DEQUANTIZE, ELU, QUANTIZE.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

_TABLES = ("ELU",)


def between_conversions(graph: Graph, keep_float: Iterable[str] = ()) -> Graph:
    """The graph with int8 → DEQUANTIZE → ELU → QUANTIZE → int8 as one ELU of integers, but for those whose output
    is named in `keep_float`."""
    model = graph.draft()
    subgraph = model.subgraphs[0]
    names = flatbuffer.operator_names(model)
    kept = set(keep_float)
    operators = list(subgraph.operators or ())
    producers = {output: op for op in operators for output in flatbuffer.outputs(op)}
    given = set() if subgraph.outputs is None else {int(index) for index in subgraph.outputs}
    readers = flatbuffer.readers(subgraph)
    idle: list[Any] = []
    for operator in operators:
        if names[operator.opcodeIndex] not in _TABLES:
            continue
        (source,), (target,) = flatbuffer.inputs(operator), flatbuffer.outputs(operator)
        if target in given or flatbuffer.text(subgraph.tensors[target].name) in kept:
            continue
        before, after = producers.get(source), readers.get(target, [])
        if before is None or names[before.opcodeIndex] != "DEQUANTIZE" or len(after) != 1:
            continue
        if names[after[0].opcodeIndex] != "QUANTIZE":
            continue
        (result,) = flatbuffer.outputs(after[0])
        subgraph.tensors[result].name = subgraph.tensors[target].name
        operator.inputs = np.array(flatbuffer.inputs(before), np.int32)
        operator.outputs = np.array([result], np.int32)
        idle.append(after[0])
        readers[source].remove(operator)
        if not readers[source] and source not in given:
            idle.append(before)
    gone = {id(operator) for operator in idle}
    subgraph.operators = [operator for operator in operators if id(operator) not in gone]
    return Graph(model, graph.name)
