"""Softmax: found where it is spelt out, and written out where integers cannot hold the operator's result.

TFLite's integer SOFTMAX gives steps of 1/256, which is coarse for a map over hundreds of tokens. By logarithms,
eˣ⁻ᴸ with L = log Σ eˣ, the result has the range that calibration finds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vitconv.conversion.sketch import Sketch, fused_activation
from vitconv.tflite import flatbuffer

_SMALL = 1e-6  # beside a sum of exponentials


def join(sketch: Sketch) -> int:
    """exp(x − log Σ exp(x)) and exp(x) / Σ exp(x), over the last axes, as SOFTMAX; Keras writes the first for
    several axes."""
    places = 0
    for operator in sketch.operators:
        found = _of_difference(sketch, operator) or _of_quotient(sketch, operator)
        if found is None:
            continue
        source, axes = found
        shape, target = sketch.shape(source), flatbuffer.outputs(operator)[0]
        axes = sorted(axis % len(shape) for axis in axes)
        if axes != list(range(len(shape) - len(axes), len(shape))):
            continue
        label = sketch.label(target)
        flat = (*shape[: len(shape) - len(axes)], math.prod(shape[len(shape) - len(axes) :]))
        sketch.remove(operator)
        following = _after(sketch, source, operator)
        rows = sketch.reshape(following, source, flat, label)
        into = target if flat == shape else None
        result = sketch.add(following, "SOFTMAX", [rows], flat, label, into=into, beta=1.0)
        if into is None:
            sketch.reshape(following, result, shape, label, into=target)
        places += 1
    return places


def _after(sketch: Sketch, source: int, removed: Any) -> Any:
    """The operator in front of which what reads `source` can stand: the first that reads what was removed."""
    target = flatbuffer.outputs(removed)[0]
    return next((op for op in sketch.operators if target in flatbuffer.inputs(op)), None)


def _of_difference(sketch: Sketch, operator: Any) -> tuple[int, list[int]] | None:
    """exp(x − (log Σ exp(x − m) + m)) → x and the axes of the sum."""
    if sketch.kind(operator) != "EXP":
        return None
    difference = sketch.maker(flatbuffer.inputs(operator)[0], "SUB")
    if difference is None or fused_activation(difference):
        return None
    source, logarithm = flatbuffer.inputs(difference)
    total = sketch.maker(logarithm, "ADD")
    shift = None
    if total is not None and not fused_activation(total):
        first, second = flatbuffer.inputs(total)
        logarithm, shift = (first, second) if sketch.maker(first, "LOG") is not None else (second, first)
    log = sketch.maker(logarithm, "LOG")
    summed = None if log is None else sketch.maker(flatbuffer.inputs(log)[0], "SUM")
    raised = None if summed is None else sketch.maker(flatbuffer.inputs(summed)[0], "EXP")
    if summed is None or raised is None:
        return None
    inner = flatbuffer.inputs(raised)[0]
    if shift is not None:
        shifted = sketch.maker(inner, "SUB")
        if shifted is None or flatbuffer.inputs(shifted) != [source, shift]:
            return None
    elif inner != source:
        return None
    return _with_axes(sketch, source, summed)


def _of_quotient(sketch: Sketch, operator: Any) -> tuple[int, list[int]] | None:
    """exp(x) / Σ exp(x) → x and the axes of the sum."""
    if sketch.kind(operator) != "DIV" or fused_activation(operator):
        return None
    above, below = flatbuffer.inputs(operator)
    raised, summed = sketch.maker(above, "EXP"), sketch.maker(below, "SUM")
    if raised is None or summed is None or flatbuffer.inputs(summed)[0] != above:
        return None
    return _with_axes(sketch, flatbuffer.inputs(raised)[0], summed)


def _with_axes(sketch: Sketch, source: int, summed: Any) -> tuple[int, list[int]] | None:
    axes = sketch.constant(flatbuffer.inputs(summed)[1])
    if axes is None or not summed.builtinOptions.keepDims:
        return None
    return source, [int(axis) for axis in np.ravel(axes)]


def of_quotients(sketch: Sketch) -> int:
    """exp(x) / (ε + Σ exp(x)), also where the exponential is turned or reshaped in between, as SOFTMAX over the
    last axis: so external attention normalises its map a second time. ε is left out, which matters only where all
    of the exponentials are as small. By logarithms the sum alone would be too wide for eight bits."""
    places = 0
    for operator in sketch.operators:
        if sketch.kind(operator) != "DIV" or fused_activation(operator):
            continue
        above, below = flatbuffer.inputs(operator)
        added = sketch.maker(below, "ADD")
        found = None if added is None else sketch.split_constant(added)
        if found is not None and found[1].size == 1 and 0 <= float(found[1].ravel()[0]) <= _SMALL:
            below = found[0]
        summed, shape = sketch.maker(below, "SUM"), sketch.shape(above)
        if summed is None or flatbuffer.inputs(summed)[0] != above or not summed.builtinOptions.keepDims:
            continue
        axes = sketch.constant(flatbuffer.inputs(summed)[1])
        if axes is None or [axis % len(shape) for axis in np.ravel(axes)] != [len(shape) - 1]:
            continue
        exponent = _before_exponential(sketch, operator, above)
        if exponent is None:
            continue
        target = flatbuffer.outputs(operator)[0]
        label = sketch.label(target)
        sketch.remove(operator)
        sketch.add(_after(sketch, target, operator), "SOFTMAX", [exponent], shape, label, into=target, beta=1.0)
        places += 1
    return places


def _before_exponential(sketch: Sketch, before: Any, tensor: int) -> int | None:
    """x of exp(x), in the view in which the tensor shows exp(x); None where it is no exponential."""
    operator = sketch.maker(tensor, "EXP", "TRANSPOSE", "RESHAPE")
    if operator is None:
        return None
    source, *others = flatbuffer.inputs(operator)
    if sketch.kind(operator) == "EXP":
        return source
    inner = _before_exponential(sketch, before, source)
    if inner is None:
        return None
    shape, label = sketch.shape(tensor), sketch.label(inner)
    if sketch.kind(operator) == "RESHAPE":
        return sketch.reshape(before, inner, shape, label)
    return sketch.add(before, "TRANSPOSE", [inner, *others], shape, label)


def by_logarithms(sketch: Sketch) -> int:
    """SOFTMAX of maps, that is of all but the rows that are the graph's answer."""
    places = 0
    for operator in sketch.operators:
        if sketch.kind(operator) != "SOFTMAX" or operator.builtinOptions.beta != 1:
            continue
        source, target = flatbuffer.inputs(operator)[0], flatbuffer.outputs(operator)[0]
        shape = sketch.shape(source)
        if len(shape) < 3 or target in sketch.ends or shape[-1] < 2:
            continue
        label, row = sketch.label(target), (*shape[:-1], 1)
        last = sketch.put([len(shape) - 1])
        peak = sketch.add(operator, "REDUCE_MAX", [source, last], row, label, keepDims=True)
        below = sketch.add(operator, "SUB", [source, peak], shape, label)
        raised = sketch.add(operator, "EXP", [below], shape, label)
        mean = np.full((1, shape[-1]), 1 / shape[-1], np.float32)
        share = sketch.add(
            operator, "FULLY_CONNECTED", [raised, sketch.put(mean), -1], row, label, keepNumDims=True
        )
        log = sketch.add(operator, "LOG", [share], row, label)
        log = sketch.add(operator, "ADD", [log, sketch.put([math.log(shape[-1])])], row, label)
        logs = sketch.add(operator, "SUB", [below, log], shape, label)
        sketch.remove(operator)
        sketch.add(_after(sketch, logs, operator), "EXP", [logs], shape, label, into=target)
        places += 1
    return places
