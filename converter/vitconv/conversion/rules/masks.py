"""Masks of attention, which add a large negative number to the scores that do not count, or put it in their place.

Eight bits that reach from −10⁹ to 10 hold no score at all. So a mask is kept as zeros and ones: `attention` takes
it as a factor of its weights; for a softmax that stands elsewhere the scores are multiplied, and a number is
subtracted that is no larger than it has to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.conversion.sketch import Sketch, fused_activation
from vitconv.tflite import flatbuffer

_LARGE = 30.0  # what is below minus this is no bias: e⁻³⁰ is nothing beside a weight
FAR = 32.0  # below a visible score of about 0
_NOTHING = -1e9  # leaves no weight, whatever the scores are


@dataclass(frozen=True)
class Masked:
    """scores = visible where `keep`, else as good as −∞. `visible`: a tensor of the scores' size, as `whole` has
    it; keep: bool, of their shape, or with axes of length 1 where it does not differ."""

    visible: int
    whole: tuple[int, ...]
    keep: NDArray[np.bool_]


def find(sketch: Sketch, scores: int) -> Masked | None:
    """The mask that a softmax's scores have, perhaps behind a RESHAPE; None where they have none, where it is a
    bias as well, and where a row has nothing left."""
    shape = sketch.shape(scores)
    tensor = scores
    while (operator := sketch.maker(tensor, "RESHAPE")) is not None and sketch.only_reader(tensor) is not None:
        tensor = flatbuffer.inputs(operator)[0]
    operator = sketch.maker(tensor, "ADD", "SELECT", "SELECT_V2")
    if operator is None or (tensor != scores and sketch.only_reader(tensor) is None):
        return None
    found = _added(sketch, operator) if sketch.kind(operator) == "ADD" else _selected(sketch, operator)
    if found is None:
        return None
    visible, keep = found
    whole = sketch.shape(tensor)
    if sketch.shape(visible) != whole:
        return None
    full = np.broadcast_to(keep, whole).reshape(shape)
    if full.all() or not full.any(axis=-1).all():
        return None
    return Masked(visible, shape, _narrow(full))


def _added(sketch: Sketch, operator: Any) -> tuple[int, NDArray[np.bool_]] | None:
    found = sketch.split_constant(operator)
    if found is None:
        return None
    source, values = found
    keep = values > -_LARGE
    return (source, keep) if np.all(values[keep] == 0) else None


def _selected(sketch: Sketch, operator: Any) -> tuple[int, NDArray[np.bool_]] | None:
    condition_index, first, second = flatbuffer.inputs(operator)
    condition = sketch.constant(condition_index)
    if condition is None or condition.dtype != np.bool_:
        return None
    for source, other, keep in ((first, second, condition), (second, first, ~condition)):
        values = sketch.constant(other)
        if values is not None and sketch.constant(source) is None and np.all(values < -_LARGE):
            return source, keep
    return None


def _narrow(keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With length 1 where an axis makes no difference."""
    for axis in range(keep.ndim):
        first = np.take(keep, [0], axis)
        if np.array_equal(np.broadcast_to(first, keep.shape), keep):
            keep = first
    return keep


def hidden(
    sketch: Sketch, before: Any, visible: int, keep: NDArray[np.bool_], shape: Sequence[int], label: str
) -> int:
    """The scores with −FAR in the place of those that do not count."""
    kept = sketch.add(before, "MUL", [visible, sketch.put(keep.astype(np.float32))], shape, label)
    away = sketch.put(np.where(keep, 0.0, -FAR).astype(np.float32))
    return sketch.add(before, "ADD", [kept, away], shape, label)


def gather(sketch: Sketch) -> int:
    """Masks that stand in front of a TRANSPOSE of the scores, moved behind it, and factors of zeros and ones that
    hide weights which the scores' mask has made zero already, left out. Keras's Softmax layer writes both."""
    return sum(_behind_transpose(sketch, one) + _without_factor(sketch, one) for one in sketch.operators)


def _behind_transpose(sketch: Sketch, operator: Any) -> int:
    if sketch.kind(operator) != "TRANSPOSE":
        return 0
    (scores, axes), (target,) = flatbuffer.inputs(operator), flatbuffer.outputs(operator)
    order, before = sketch.constant(axes), sketch.maker(scores, "ADD", "SELECT", "SELECT_V2")
    if order is None or before is None or sketch.only_reader(scores) is None or target in sketch.ends:
        return 0
    found = _added(sketch, before) if sketch.kind(before) == "ADD" else _selected(sketch, before)
    shape = sketch.shape(scores)
    if found is None or sketch.shape(found[0]) != shape or found[1].all():
        return 0
    visible, keep = found
    turned = _narrow(np.transpose(np.broadcast_to(keep, shape), order))
    whole, label = sketch.shape(target), sketch.label(scores)
    seen = sketch.add(operator, "TRANSPOSE", [visible, axes], whole, label)
    away = sketch.put(np.where(turned, 0.0, _NOTHING).astype(np.float32))
    sketch.replace(target, sketch.add(operator, "ADD", [seen, away], whole, label))
    sketch.remove(operator)
    return 1


def _without_factor(sketch: Sketch, operator: Any) -> int:
    found = sketch.split_constant(operator) if sketch.kind(operator) == "MUL" else None
    softmax = None if found is None else sketch.maker(found[0], "SOFTMAX")
    target = flatbuffer.outputs(operator)[0] if softmax is not None else -1
    if found is None or softmax is None or target in sketch.ends:
        return 0
    weights, factors = found
    shape = sketch.shape(weights)
    masked = find(sketch, flatbuffer.inputs(softmax)[0])
    if masked is None or sketch.shape(target) != shape or not np.isfinite(factors).all():
        return 0
    if not np.all(np.broadcast_to(factors, shape)[np.broadcast_to(masked.keep, shape)] == 1):
        return 0
    sketch.replace(target, weights)
    sketch.remove(operator)
    return 1


def bound(sketch: Sketch) -> int:
    """Masks in front of a SOFTMAX."""
    places = 0
    for operator in sketch.operators:
        if sketch.kind(operator) != "SOFTMAX" or fused_activation(operator):
            continue
        scores = flatbuffer.inputs(operator)[0]
        masked = find(sketch, scores)
        if masked is None:
            continue
        label = sketch.label(flatbuffer.outputs(operator)[0])
        view = sketch.reshape(operator, masked.visible, masked.whole, label)
        sketch.rewire(operator, [hidden(sketch, operator, view, masked.keep, masked.whole, label)])
        places += 1
    return places
