"""A bias or a factor that stands behind a dense layer, after a reshape perhaps, goes into its kernel and bias.

Keras's MultiHeadAttention adds its biases to queries, keys and values that are cut into heads already, and scales
the queries there. In integers each of these would be rounded once more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.conversion.sketch import Sketch, fused_activation
from vitconv.tflite import flatbuffer


def fold(sketch: Sketch) -> int:
    places = 0
    for operator in sketch.operators:
        if sketch.kind(operator) in ("ADD", "MUL") and _fold(sketch, operator):
            places += 1
    return places


def _fold(sketch: Sketch, operator: Any) -> bool:
    found = sketch.split_constant(operator)
    if found is None:
        return False
    source, values = found
    target = flatbuffer.outputs(operator)[0]
    if sketch.shape(source) != sketch.shape(target) or target in sketch.ends:
        return False
    dense, place = sketch.maker(source), source
    while sketch.kind(dense) == "RESHAPE" and sketch.only_reader(place) is not None:
        place = flatbuffer.inputs(dense)[0]
        dense = sketch.maker(place)
    if sketch.kind(dense) != "FULLY_CONNECTED" or sketch.only_reader(place) is None or fused_activation(dense):
        return False
    kernel, bias = _weights(sketch, dense)
    if kernel is None or bias is None:
        return False
    outputs = _by_output(values, sketch.shape(source), len(kernel))
    if outputs is None:
        return False
    if sketch.kind(operator) == "ADD":
        bias = bias + outputs
    else:
        kernel, bias = kernel * outputs[:, np.newaxis], bias * outputs
    tokens = flatbuffer.inputs(dense)[0]
    sketch.rewire(dense, [tokens, sketch.put(kernel.astype(np.float32)), sketch.put(bias.astype(np.float32))])
    sketch.replace(target, source)
    sketch.remove(operator)
    return True


def _weights(sketch: Sketch, dense: Any) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """The kernel [out, in] and the bias [out], zeros where there is none; None of what is computed."""
    _, kernel_index, *bias_index = flatbuffer.inputs(dense)
    kernel = sketch.constant(kernel_index)
    if kernel is None or kernel.dtype != np.float32:
        return None, None
    return kernel, sketch.constant(bias_index[0]) if bias_index else np.zeros(len(kernel), np.float32)


def _by_output(values: NDArray[Any], shape: tuple[int, ...], outputs: int) -> NDArray[Any] | None:
    """A constant that is broadcast to `shape`, as a value for each output of the layer whose outputs are the last
    axes of that shape; None where it differs between rows, or an output is cut in two."""
    trailing, size = len(shape), 1
    while size < outputs and trailing:
        trailing -= 1
        size *= shape[trailing]
    if size != outputs:
        return None
    full = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    if any(size != 1 for size in full.shape[:trailing]):
        return None
    return np.asarray(np.broadcast_to(full[(0,) * trailing], shape[trailing:]).reshape(-1))
