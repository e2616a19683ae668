"""Layer normalisation and RMS normalisation over the last axis, whoever wrote them, by magnitudes.

A variance in eight bits holds the token with the largest alone. So the centred token is divided by its mean
magnitude first, and what that gives by its root mean square, as in `models.normalisation.normalise`, whose
comments say more.

What is looked for is 1/√(variance + ε); what is done with it (Keras, tf.nn.batch_normalization and PyTorch
differ) is followed as a polynomial in the token x, its mean m and that root r, until it is a · (x − m) · r + b.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
class Root:
    """1/√(variance + ε) of a token: `mean` is None where nothing is subtracted (RMS). `is_root` where the graph
    has the root itself, by which others divide."""

    token: int
    mean: int | None
    epsilon: float
    tensor: int
    is_root: bool


@dataclass(frozen=True)
class Norm:
    """target = scale · (token − its mean) / √(variance + ε) + shift"""

    root: Root
    target: int
    scale: NDArray[np.float64]
    shift: NDArray[np.float64] | None


def norms(sketch: Sketch) -> Iterator[Norm]:
    """Those of the graph, in its order. One that was given may be rewritten before the next is asked for."""
    for operator in sketch.operators:
        root = _root(sketch, operator)
        yield from _norms(sketch, root) if root else ()


def _rewrite(sketch: Sketch, with_epsilon: bool) -> int:
    places = 0
    for norm in norms(sketch):
        _write(sketch, norm, with_epsilon)
        places += 1
    return places


without_epsilon, with_epsilon = both_ways(_rewrite)


# --- finding ---


def _root(sketch: Sketch, operator: Any) -> Root | None:
    kind = sketch.kind(operator)
    if kind not in ("RSQRT", "SQRT"):
        return None
    added = sketch.maker(flatbuffer.inputs(operator)[0], "ADD")
    found = None if added is None else sketch.split_constant(added)
    if found is None or found[1].size != 1:
        return None
    variance, epsilon = found
    spread = _variance(sketch, variance)
    if spread is None:
        return None
    return Root(*spread, float(epsilon.ravel()[0]), flatbuffer.outputs(operator)[0], kind == "SQRT")


def _variance(sketch: Sketch, tensor: int) -> tuple[int, int | None] | None:
    """The token and its mean, of mean((x − m)²), mean(x²) − m² and, with no mean, mean(x²)."""
    square = _mean_of(sketch, tensor)
    if square is not None:
        return _squared(sketch, square)
    difference = sketch.maker(base(sketch, tensor), "SUB")
    if difference is None:
        return None
    first, second = flatbuffer.inputs(difference)
    square = _mean_of(sketch, first)
    whole, mean = (_squared(sketch, square) if square is not None else None), square_of(sketch, second)
    if whole is None or whole[1] is not None or mean is None or _mean_of(sketch, mean) != whole[0]:
        return None
    return whole[0], mean


def _squared(sketch: Sketch, tensor: int) -> tuple[int, int | None] | None:
    """x and m of (x − m)², x and None of x²."""
    operator = sketch.maker(tensor, "SQUARED_DIFFERENCE")
    if operator is not None:
        token, mean = flatbuffer.inputs(operator)
        return (token, mean) if _mean_of(sketch, mean) == token else None
    inner = square_of(sketch, tensor)
    if inner is None:
        return None
    centred = sketch.maker(inner, "SUB")
    if centred is not None:
        token, mean = flatbuffer.inputs(centred)
        if _mean_of(sketch, mean) == token:
            return token, mean
    return inner, None


def _mean_of(sketch: Sketch, tensor: int) -> int | None:
    """What a tensor is the mean of, over the last axis."""
    operator = sketch.maker(base(sketch, tensor), "MEAN", "MUL")
    if operator is None:
        return None
    factor = 1.0
    if sketch.kind(operator) == "MUL":
        found = sketch.split_constant(operator)
        operator = None if found is None or found[1].size != 1 else sketch.maker(base(sketch, found[0]), "SUM")
        if operator is None or found is None:
            return None
        factor = float(found[1].ravel()[0])
    source, axes_index = flatbuffer.inputs(operator)
    axes, shape = sketch.constant(axes_index), sketch.shape(source)
    if axes is None or [axis % len(shape) for axis in np.ravel(axes)] != [len(shape) - 1]:
        return None
    if sketch.kind(operator) == "SUM" and abs(factor * shape[-1] - 1) > 1e-5:
        return None
    return source


def _norms(sketch: Sketch, root: Root) -> list[Norm]:
    """Every a · (x − m) · r + b that no larger one of that kind is made of."""
    one = np.ones(1)
    width = sketch.shape(root.token)[-1]
    known: dict[int, Polynomial] = {root.token: {X: one}}
    known[root.tensor] = {R: one}
    if root.mean is not None:
        known[root.mean] = known[base(sketch, root.mean)] = {M: one}
    found: dict[int, Norm] = {}
    for operator in sketch.operators:
        outputs = flatbuffer.outputs(operator)
        if len(outputs) != 1 or outputs[0] in known or fused_activation(operator):
            continue
        result = _follow(sketch, operator, known, root, width)
        if result is None:
            continue
        known[outputs[0]] = result
        norm = _as_norm(root, outputs[0], result)
        if norm is not None and sketch.shape(outputs[0]) == sketch.shape(root.token):
            for operand in flatbuffer.inputs(operator):
                if operand in found and sketch.only_reader(operand) is not None:
                    del found[operand]
            found[outputs[0]] = norm
    return list(found.values())


def _follow(
    sketch: Sketch, operator: Any, known: Mapping[int, Polynomial], root: Root, width: int
) -> Polynomial | None:
    kind, operands = sketch.kind(operator), flatbuffer.inputs(operator)
    if not any(operand in known for operand in operands):
        return None
    if kind == "RESHAPE":
        only = known.get(operands[0])
        return only if only is not None and all(powers[0] == 0 for powers in only) else None
    if kind == "NEG":
        return total({}, known[operands[0]], -1)
    if kind == "DIV" and root.is_root and operands[1] == root.tensor and operands[0] in known:
        return product(known[operands[0]], {R: np.ones(1)})
    if kind not in ("ADD", "SUB", "MUL") or (root.is_root and root.tensor in operands):
        return None
    sides = [known.get(operand) or _number(sketch, operand, width) for operand in operands]
    first, second = sides
    if first is None or second is None:
        return None
    if kind == "MUL":
        return product(first, second)
    return total(first, second, -1 if kind == "SUB" else 1)


def _number(sketch: Sketch, tensor: int, width: int) -> Polynomial | None:
    """A constant of one value, or one a channel."""
    values = sketch.constant(tensor)
    if values is None or values.dtype != np.float32:
        return None
    if values.size != 1 and (values.size != width or values.shape[-1] != width):
        return None
    return {CONSTANT: values.reshape(-1).astype(np.float64)}


def _as_norm(root: Root, target: int, polynomial: Polynomial) -> Norm | None:
    rest = {powers for powers, factor in polynomial.items() if np.any(factor)}
    scale = polynomial.get(XR)
    wanted = {XR} if root.mean is None else {XR, MR}
    if scale is None or rest - {CONSTANT} != wanted:
        return None
    if root.mean is not None and not np.allclose(polynomial[MR], -scale, rtol=1e-5, atol=0):
        return None
    return Norm(root, target, scale, polynomial.get(CONSTANT))


# --- writing ---


def _write(sketch: Sketch, norm: Norm, with_epsilon: bool) -> None:
    root, last = norm.root, sketch.maker(norm.target)
    shape, label = sketch.shape(root.token), sketch.label(norm.target)
    row, channels = (*shape[:-1], 1), shape[-1]

    def add(kind: str, *inputs: int, size: tuple[int, ...] = shape, **options: Any) -> int:
        return sketch.add(last, kind, inputs, size, label, **options)

    mean = sketch.put(np.full((1, channels), 1 / channels, np.float32))
    tiny = sketch.put([TINY])
    centred = root.token
    if root.mean is not None:
        centred = add("SUB", centred, add("FULLY_CONNECTED", centred, mean, -1, size=row, keepNumDims=True))

    def mean_of(tensor: int) -> int:
        return add("FULLY_CONNECTED", tensor, mean, tiny, size=row, keepNumDims=True)

    unit = unit_by_magnitudes(sketch, add, centred, row, mean_of, root.epsilon if with_epsilon else None)
    write_scaled_and_shifted(sketch, norm, unit)


def write_scaled_and_shifted(sketch: Sketch, norm: Norm, unit: int) -> None:
    """In the place of a normalisation: scale · unit + shift, `unit` being (token − its mean) / √(variance + ε)."""
    last, label = sketch.maker(norm.target), sketch.label(norm.target)
    shape = sketch.shape(norm.root.token)
    scale = sketch.put(np.broadcast_to(norm.scale, shape[-1:]).astype(np.float32))
    if norm.shift is None or not np.any(norm.shift):
        if np.all(norm.scale == 1) and norm.target not in sketch.ends:
            sketch.replace(norm.target, unit)
        else:
            sketch.add(last, "MUL", (unit, scale), shape, label, into=norm.target)
    else:
        shift = sketch.put(np.broadcast_to(norm.shift, shape[-1:]).astype(np.float32))
        scaled = sketch.add(last, "MUL", (unit, scale), shape, label)
        sketch.add(last, "ADD", (scaled, shift), shape, label, into=norm.target)
    sketch.remove(last)
