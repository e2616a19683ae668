"""Group normalisation, of which that of a whole map is one with a single group, by magnitudes.

As `layer_norm` does for tokens. The sums over a group are means over pixels, of which XNNPACK has an operator, and
then products with a kernel that adds the channels of each group: no tensor has more than four dimensions, and none
has to be turned.

Keras reshapes a map until each group has an axis of its own, and writes x · (r γ) + (β − m r γ) in several shapes.
So what is looked for are views of three sizes, the map, a value a channel, and a value a group, and what is done
with them is followed as a polynomial in x, m and r.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.conversion.rules.magnitudes import (
    CONSTANT,
    MR,
    TINY,
    XR,
    M,
    Polynomial,
    R,
    X,
    base,
    both_ways,
    product,
    square_of,
    total,
    unit_by_magnitudes,
)
from vitconv.conversion.sketch import Sketch, fused_activation
from vitconv.tflite import flatbuffer


@dataclass(frozen=True)
class _Groups:
    """r = 1/√(variance + ε) of each of `count` groups of the channels of a map [1, …, C]; `mean` and `root` are
    the tensors that hold m and r."""

    map: int
    mean: int
    root: int
    count: int
    epsilon: float


@dataclass(frozen=True)
class _Norm:
    """target = scale · (map − its mean) / √(variance + ε) + shift; scale and shift float64 [C]. `last` computes
    the target, and may apply an activation to it."""

    groups: _Groups
    last: Any
    scale: NDArray[np.float64]
    shift: NDArray[np.float64]


def _rewrite(sketch: Sketch, with_epsilon: bool) -> int:
    places = 0
    for operator in sketch.operators:
        groups = _groups(sketch, operator)
        norm = _norm(sketch, groups) if groups else None
        if norm is not None:
            _write(sketch, norm, with_epsilon)
            places += 1
    return places


without_epsilon, with_epsilon = both_ways(_rewrite)


# --- finding ---


def _groups(sketch: Sketch, operator: Any) -> _Groups | None:
    if sketch.kind(operator) != "RSQRT":
        return None
    added = sketch.maker(base(sketch, flatbuffer.inputs(operator)[0]), "ADD")
    found = None if added is None else sketch.split_constant(added)
    if found is None or found[1].size != 1:
        return None
    averaged = sketch.maker(base(sketch, found[0]), "MEAN")
    if averaged is None:
        return None
    source = base(sketch, flatbuffer.inputs(averaged)[0])
    operands = _squared_difference(sketch, source)
    if operands is None:
        return None
    values, mean = operands
    middle = sketch.maker(base(sketch, mean), "MEAN")
    if middle is None:
        return None
    whole = base(sketch, values)
    shape, count = sketch.shape(whole), _count(sketch, middle)
    if base(sketch, flatbuffer.inputs(middle)[0]) != whole or count is None or _count(sketch, averaged) != count:
        return None
    if len(shape) not in (3, 4) or shape[0] != 1 or shape[-1] % count or math.prod(shape[:-1]) == 1:
        return None
    root = flatbuffer.outputs(operator)[0]
    return _Groups(whole, flatbuffer.outputs(middle)[0], root, count, float(found[1].ravel()[0]))


def _squared_difference(sketch: Sketch, tensor: int) -> tuple[int, int] | None:
    """x and m of (x − m)²."""
    operator = sketch.maker(tensor, "SQUARED_DIFFERENCE")
    if operator is None:
        inner = square_of(sketch, tensor)
        operator = None if inner is None else sketch.maker(base(sketch, inner), "SUB")
    if operator is None:
        return None
    first, second = flatbuffer.inputs(operator)
    return first, second


def _count(sketch: Sketch, mean: Any) -> int | None:
    """How many groups of a map's channels a MEAN keeps apart: those before the last of the axes that it takes
    together, and nothing else."""
    source, axes_index = flatbuffer.inputs(mean)
    axes, shape = sketch.constant(axes_index), sketch.shape(source)
    if axes is None:
        return None
    reduced = {int(axis) % len(shape) for axis in np.ravel(axes)}
    kept = [axis for axis in range(len(shape)) if axis not in reduced and shape[axis] != 1]
    if len(kept) > 1 or not any(shape[axis] != 1 for axis in reduced):
        return None
    if not kept:
        return 1
    if all(shape[axis] == 1 for axis in range(kept[0])):
        return None  # a normalisation of rows
    return shape[kept[0]]


def _norm(sketch: Sketch, groups: _Groups) -> _Norm | None:
    """The last a · (x − m) · r + b, if that is all that becomes of r."""
    channels = sketch.shape(groups.map)[-1]
    sizes = {math.prod(sketch.shape(groups.map)), channels, groups.count}
    one = np.ones(channels)
    known: dict[int, Polynomial] = {groups.map: {X: one}, groups.mean: {M: one}, groups.root: {R: one}}
    found: _Norm | None = None
    for operator in sketch.operators:
        outputs = flatbuffer.outputs(operator)
        if len(outputs) != 1 or outputs[0] in known or math.prod(sketch.shape(outputs[0])) not in sizes:
            continue
        polynomial = _follow(sketch, operator, known, groups, channels)
        if polynomial is None:
            continue
        if not fused_activation(operator):
            known[outputs[0]] = polynomial
        scale, shift = polynomial.get(XR), polynomial.get(CONSTANT, np.zeros(channels))
        rest = {powers for powers, factor in polynomial.items() if np.any(factor)} - {CONSTANT}
        if scale is None or rest != {XR, MR} or not np.allclose(polynomial[MR], -scale, rtol=1e-5, atol=0):
            continue
        if sketch.kind(operator) != "RESHAPE":
            found = _Norm(groups, operator, scale, shift)
    return found


def _follow(
    sketch: Sketch, operator: Any, known: Mapping[int, Polynomial], groups: _Groups, channels: int
) -> Polynomial | None:
    kind, operands = sketch.kind(operator), flatbuffer.inputs(operator)
    if not operands or not any(operand in known for operand in operands):
        return None
    if kind == "RESHAPE":
        return known.get(operands[0])
    if kind == "NEG":
        return total({}, known[operands[0]], -1)
    if kind not in ("ADD", "SUB", "MUL"):
        return None
    first, second = (known.get(one) or _number(sketch, one, groups, channels) for one in operands)
    if first is None or second is None:
        return None
    if kind == "MUL":
        return product(first, second)
    return total(first, second, -1 if kind == "SUB" else 1)


def _number(sketch: Sketch, tensor: int, groups: _Groups, channels: int) -> Polynomial | None:
    """A constant of one value, one a group, or one a channel."""
    values = sketch.constant(tensor)
    if values is None or values.dtype != np.float32 or values.size not in (1, groups.count, channels):
        return None
    return {CONSTANT: values.reshape(-1).astype(np.float64).repeat(channels // values.size)}


# --- writing ---


def _write(sketch: Sketch, norm: _Norm, with_epsilon: bool) -> None:
    groups, last = norm.groups, norm.last
    target = flatbuffer.outputs(last)[0]
    given, label = sketch.shape(groups.map), sketch.label(target)
    channels = given[-1]
    shape = given if len(given) == 4 else (1, given[1], 1, channels)
    pixels_of = sketch.reshape(last, groups.map, shape, label)
    row, pixels = (1, 1, 1, channels), sketch.put([1, 2])
    size = channels // groups.count
    kernel = sketch.put(np.kron(np.eye(groups.count), np.full((size, size), 1 / size)).astype(np.float32))
    tiny = sketch.put(np.full(channels, TINY, np.float32))

    def add(kind: str, *inputs: int, size: tuple[int, ...] = shape, **options: Any) -> int:
        return sketch.add(last, kind, inputs, size, label, **options)

    def mean(tensor: int, bias: int = -1) -> int:
        over_pixels = add("MEAN", tensor, pixels, size=row, keepDims=True)
        return add("FULLY_CONNECTED", over_pixels, kernel, bias, size=row, keepNumDims=True)

    centred = add("SUB", pixels_of, mean(pixels_of))
    unit = unit_by_magnitudes(
        sketch, add, centred, row, lambda tensor: mean(tensor, tiny), groups.epsilon if with_epsilon else None
    )
    scaled = add("MUL", unit, sketch.put(norm.scale.astype(np.float32)))
    shift = sketch.put(norm.shift.astype(np.float32))
    activation = fused_activation(last)
    sketch.remove(last)
    following = next((op for op in sketch.operators if target in flatbuffer.inputs(op)), None)
    result = sketch.add(following, "ADD", [scaled, shift], shape, label, fusedActivationFunction=activation)
    sketch.reshape(following, result, sketch.shape(target), label, into=target)
