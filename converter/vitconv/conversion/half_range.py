"""Layer normalisations of a float graph, written so that their squares stay within 16 bits.

Phones' GPUs compute in 16 bits, where a number above 65,504 becomes infinite. A variance is the first to get
there: the squares of 80 channels with a deviation of 30 add up to 72,000. Divided by a power of two before they
are squared, tokens give the same result to the last digit, for one operation more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from vitconv.conversion.rewriting import values_of
from vitconv.conversion.rules import layer_norm
from vitconv.conversion.rules.layer_norm import Norm
from vitconv.conversion.sketch import Sketch
from vitconv.tflite.graph import Graph

_LARGEST = 65504.0  # of 16 bits
_ROOM = 2.0  # other pictures' sums may be so many times as large
_WANTED = _LARGEST / 64


def within_half_range(graph: Graph, images: NDArray[np.uint8]) -> Graph:
    """The float graph in which no layer normalisation adds up to more squares than 16 bits hold; itself where none
    does. images, uint8 [N, H, W, 3]: on which the squares are added up."""
    sums = _sums_of_squares(graph, list(layer_norm.norms(Sketch(graph))), images)
    large = {token: total for token, total in sums.items() if total * _ROOM > _LARGEST}
    if not large:
        return graph
    sketch = Sketch(graph)
    for norm in layer_norm.norms(sketch):
        if norm.root.token in large:
            halvings = math.ceil(math.log2(large[norm.root.token] / _WANTED) / 2)
            _write(sketch, norm, 0.5**halvings)
    return sketch.graph


def _sums_of_squares(graph: Graph, found: Iterable[Norm], images: NDArray[np.uint8]) -> Mapping[int, float]:
    """By token tensor: the largest sum over the channels of (x − mean)², of x² where nothing is subtracted."""
    centred = {norm.root.token: norm.root.mean is not None for norm in found}
    sums = dict.fromkeys(centred, 0.0)
    if not centred:
        return sums
    for values in values_of(graph, list(centred), images):
        for token, value in zip(centred, values, strict=True):
            wide = value.astype(np.float64)
            around = wide - wide.mean(axis=-1, keepdims=True) if centred[token] else wide
            sums[token] = max(sums[token], float(np.square(around).sum(axis=-1).max()))
    return sums


def _write(sketch: Sketch, norm: Norm, factor: float) -> None:
    """With `factor` times the token in the place of the token, and factor² · ε in the place of ε."""
    root, last = norm.root, sketch.maker(norm.target)
    shape, label = sketch.shape(root.token), sketch.label(norm.target)
    row, axis = (*shape[:-1], 1), sketch.put(np.array([len(shape) - 1]))

    def mean_of(tensor: int) -> int:
        return sketch.add(last, "MEAN", (tensor, axis), row, label, keepDims=True)

    centred = root.token
    if root.mean is not None:
        centred = sketch.add(last, "SUB", (centred, mean_of(centred)), shape, label)
    small = sketch.add(last, "MUL", (centred, sketch.put([factor])), shape, label)
    variance = mean_of(sketch.add(last, "SQUARE", (small,), shape, label))
    above = sketch.add(last, "ADD", (variance, sketch.put([root.epsilon * factor**2])), row, label)
    unit = sketch.add(last, "MUL", (small, sketch.add(last, "RSQRT", (above,), row, label)), shape, label)
    layer_norm.write_scaled_and_shifted(sketch, norm, unit)
