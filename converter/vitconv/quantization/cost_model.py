"""What a graph costs on a phone, estimated from its operators alone.

A desktop's times are not a phone's: they order the files otherwise, and each desktop has others. Instructions on
arm64 can be counted (`vitconv benchmark --runtime android`), but a search asks for too many counts. So they are
estimated: for each operator, instructions for a multiply-add, for a value it gives, and for a value it reads.

The numbers are the counted instructions of the operators in the files of mobilevit_xxs and eanet (TFLite 2.16.1,
XNNPACK, arm64-v8a, QEMU's `-cpu max`) divided by their sizes. Tests compare the sums with the counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import named_layer


@dataclass(frozen=True)
class _Cost:
    """Instructions for each of these."""

    multiply_add: float
    given: float
    read: float


# Operator, type of what it gives, instructions for a multiply-add, a value given, a value of the largest input.
# "dynamic" gives float32 with a kernel of int8: what it reads is quantized on the fly.
_TABLE = """
CONV_2D             int8    0.047  4    0
CONV_2D             float32 0.3    1    0
CONV_2D             dynamic 0.125  4    5
DEPTHWISE_CONV_2D   int8    0.83   0    0
DEPTHWISE_CONV_2D   float32 0.95   0    0
FULLY_CONNECTED     int8    0.125  4    0
FULLY_CONNECTED     float32 0.32   1    0
FULLY_CONNECTED     dynamic 0.125  4    5
BATCH_MATMUL        int8    0.125  0    0
BATCH_MATMUL        float32 0.365  0    0
ADD                 int8    0      2    0
ADD                 float32 0      1.5  0
SUB                 int8    0      2.6  0
SUB                 float32 0      1.6  0
MUL                 int8    0      2.8  0
MUL                 float32 0      2    0
DIV                 float32 0      2.3  0
SQUARED_DIFFERENCE  float32 0      1.6  0
MAX_POOL_2D         int8    0      0    0.5
MAX_POOL_2D         float32 0      0    0.8
AVERAGE_POOL_2D     int8    0      0    1
AVERAGE_POOL_2D     float32 0      0    1.4
MEAN                int8    0      0    0.4
MEAN                float32 0      0    0.9
REDUCE_MAX          int8    0      0    0.35
REDUCE_MAX          float32 0      0    1
ELU                 int8    0      0.6  0
ELU                 float32 0      8.5  0
LOGISTIC            int8    0      0.7  0
LOGISTIC            float32 0      9    0
LEAKY_RELU          int8    0      1.1  0
LEAKY_RELU          float32 0      1.5  0
GELU                int8    0      1.5  0
GELU                float32 0      13   0
EXP                 int8    0      5.5  0
EXP                 float32 0      40   0
LOG                 int8    0      5.5  0
LOG                 float32 0      60   0
RSQRT               int8    0      5.5  0
RSQRT               float32 0      3    0
SOFTMAX             int8    0      10   0
SOFTMAX             float32 0      9.3  0
QUANTIZE            int8    0      1.5  0
QUANTIZE            uint8   0      1.5  0
DEQUANTIZE          float32 0      1    0
RESHAPE             int8    0      0.2  0
RESHAPE             float32 0      0.35 0
CONCATENATION       int8    0      0.3  0
CONCATENATION       float32 0      0.5  0
"""
_COSTS = {
    (operator, dtype): _Cost(*map(float, numbers))
    for operator, dtype, *numbers in (line.split() for line in _TABLE.split("\n") if line)
}
# TFLite's own kernels, one value after the other: EXP, LOG and RSQRT in integers are such.
_UNKNOWN = _Cost(0.125, 10, 0)


def estimated_instructions(graph: Graph) -> float:
    """Instructions for one image on arm64, estimated."""
    return sum(instructions_by_layer(graph).values())


def instructions_by_layer(graph: Graph) -> dict[str, float]:
    """Layer → its part of `estimated_instructions`. What bears no layer's name, such as a conversion between
    integers and floats, counts to the layer before it."""
    model = graph.model
    subgraph = model.subgraphs[0]
    names = flatbuffer.operator_names(model)
    layers: dict[str, float] = {}
    layer = ""
    for operator in subgraph.operators or ():
        outputs = flatbuffer.outputs(operator)
        if outputs:
            layer = named_layer(flatbuffer.text(subgraph.tensors[outputs[0]].name)) or layer
        cost = _instructions(model, subgraph, operator, names[operator.opcodeIndex])
        layers[layer] = layers.get(layer, 0.0) + cost
    return layers


def _instructions(model: Any, subgraph: Any, operator: Any, name: str) -> float:
    inputs, outputs = flatbuffer.inputs(operator), flatbuffer.outputs(operator)
    if not outputs:
        return 0.0
    tensors = subgraph.tensors
    activations = [index for index in inputs if not flatbuffer.is_constant(model, tensors[index])]
    if inputs and not activations:
        return 0.0  # computed once, when the file is loaded
    dtype = flatbuffer.tensor_dtype(tensors[outputs[0]])
    kernel = flatbuffer.tensor_dtype(tensors[inputs[1]]) if len(inputs) > 1 else ""
    kind = "dynamic" if (dtype, kernel) == ("float32", "int8") else dtype
    cost = _COSTS.get((name, kind)) or _COSTS.get((name, dtype), _UNKNOWN)
    given = sum(math.prod(flatbuffer.tensor_shape(tensors[index])) for index in outputs)
    read = max((math.prod(flatbuffer.tensor_shape(tensors[index])) for index in activations), default=0)
    shapes = [flatbuffer.tensor_shape(tensors[index]) for index in inputs]
    return given * _depth(name, shapes) * cost.multiply_add + given * cost.given + read * cost.read


def _depth(name: str, inputs: list[tuple[int, ...]]) -> int:
    """Multiply-adds for each value that an operator gives."""
    if name in ("CONV_2D", "FULLY_CONNECTED"):
        return math.prod(inputs[1][1:])
    if name == "DEPTHWISE_CONV_2D":
        return math.prod(inputs[1][1:3])
    return inputs[0][-1] if name == "BATCH_MATMUL" else 0
