"""A convolution over two tensors side by side, as a sum of two convolutions, each over one of them.

In integers all that is put side by side must have one scale. Where one tensor spans a hundred times as much as
another (what comes out of a MobileViT's transformers, and the shortcut around them), the small one keeps two or
three of its 256 steps, also for whoever else reads it. A convolution's sum over channels can be cut between them:
each tensor then keeps a scale of its own, for one more addition.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from vitconv.conversion.sketch import Sketch, fused_activation
from vitconv.tflite import flatbuffer

_PARTS = 2  # more would add more than they save, where all have the same span


def split(sketch: Sketch) -> int:
    """Cuts the convolutions that alone read two tensors joined by channels. Returns how many were cut."""
    return sum(_split(sketch, operator) for operator in sketch.operators if sketch.kind(operator) == "CONV_2D")


def _split(sketch: Sketch, convolution: Any) -> bool:
    joined, kernel, *bias = flatbuffer.inputs(convolution)
    join = sketch.maker(joined, "CONCATENATION")
    weights = sketch.constant(kernel)
    if join is None or weights is None or sketch.only_reader(joined) is not convolution or not bias:
        return False
    parts = flatbuffer.inputs(join)
    widths = [sketch.shape(part)[-1] for part in parts]
    by_channels = join.builtinOptions.axis in (-1, len(sketch.shape(joined)) - 1)
    if len(parts) != _PARTS or not by_channels or fused_activation(join) or weights.shape[-1] != sum(widths):
        return False
    (result,) = flatbuffer.outputs(convolution)
    shape, label = sketch.shape(result), sketch.label(result)
    options = convolution.builtinOptions
    sums: list[int] = []
    for part, columns in zip(parts, np.split(weights, np.cumsum(widths)[:-1], axis=-1), strict=True):
        # One of them has the bias; a convolution without one is no operator of integers.
        added = sketch.put(np.zeros(weights.shape[0], np.float32)) if sums else bias[0]
        sums.append(
            sketch.add(
                convolution, "CONV_2D", [part, sketch.put(columns), added], shape, label,
                padding=options.padding, strideW=options.strideW, strideH=options.strideH,
                dilationWFactor=options.dilationWFactor, dilationHFactor=options.dilationHFactor,
                fusedActivationFunction=schema.ActivationFunctionType.NONE,
            )
        )  # fmt: skip
    activation = options.fusedActivationFunction
    sketch.add(convolution, "ADD", sums, shape, label, into=result, fusedActivationFunction=activation)
    sketch.remove(convolution, join)
    return True
