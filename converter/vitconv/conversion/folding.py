"""What a network does to its pixels first, (pixel − mean) · scale, put into the weights of its first convolution.

In float that saves little. In integers each of these steps would be rounded to eight bits, while the stored pixel
is exact as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.tflite import flatbuffer


def fold_pixel_scaling(graph: bytes) -> bytes:
    """The float graph with the SUB and MUL of constants between its input and its first CONV_2D folded into that.

    A sum is only folded where the convolution pads nothing, for padded zeros stand for the mean. Anything else in
    this place is left as it is. (The converter itself folds a product before a convolution, but no sum.)
    """
    from ai_edge_litert.schema_py_generated import Padding

    model = flatbuffer.parse(graph, "the float graph")
    (subgraph,) = model.subgraphs
    (source,) = subgraph.inputs
    names = [flatbuffer.operator_name(code) for code in model.operatorCodes]
    read = flatbuffer.readers(model)
    scale: Any = 1.0  # the value at `place` is pixel · scale + shift
    shift: Any = 0.0
    place = int(source)
    folded = []
    while True:
        if len(read.get(place, ())) != 1:
            return graph
        (operator,) = read[place]
        name = names[operator.opcodeIndex]
        if name == "CONV_2D":
            break
        constant = _constant(model, operator.inputs[1])
        if name not in ("SUB", "MUL") or constant is None:
            return graph
        if operator.builtinOptions.fusedActivationFunction:
            return graph
        if name == "SUB":
            shift = shift - constant
        else:
            scale, shift = scale * constant, shift * constant
        folded.append(operator)
        place = int(operator.outputs[0])
    if not folded or (np.any(shift) and operator.builtinOptions.padding != Padding.VALID):
        return graph
    weights, bias = (_constant(model, index) for index in operator.inputs[1:])
    if weights is None or bias is None:
        return graph
    # [out, height, width, in] · [in]
    _replace(model, operator.inputs[1], weights * scale)
    _replace(model, operator.inputs[2], bias + (weights * shift).sum(axis=(1, 2, 3)))
    operator.inputs = [source, *operator.inputs[1:]]
    subgraph.operators = [kept for kept in subgraph.operators if kept not in folded]
    return flatbuffer.serialize(model)


def _constant(model: Any, index: int) -> NDArray[np.float64] | None:
    """A float32 constant's values; None for anything else."""
    if index < 0:
        return None
    tensor = model.subgraphs[0].tensors[index]
    data = model.buffers[tensor.buffer].data
    if data is None or flatbuffer.tensor_dtype(tensor) != "float32":
        return None
    return np.frombuffer(bytes(data), np.float32).reshape(flatbuffer.tensor_shape(tensor)).astype(np.float64)


def _replace(model: Any, index: int, values: NDArray[np.float64]) -> None:
    """Gives a constant other values of its shape: in a buffer of its own, for others may share the old one."""
    from ai_edge_litert.schema_py_generated import BufferT

    buffer = BufferT()
    buffer.data = flatbuffer.data_vector(values.astype(np.float32).tobytes())
    model.subgraphs[0].tensors[index].buffer = len(model.buffers)
    model.buffers.append(buffer)
