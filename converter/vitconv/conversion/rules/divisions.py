"""Quotients, roots and powers, of which TFLite has no integer form, by logarithms: x / y = x · e^(−log y),
x^c = e^(c · log x).

They hold for positive y and x alone, which the proof on pictures sees to: a logarithm of anything else is no
number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vitconv.conversion.sketch import Sketch, fused_activation
from vitconv.tflite import flatbuffer

_TINY = 1e-6  # keeps logarithms finite where all is zero


def by_logarithms(sketch: Sketch) -> int:
    """DIV; of an exponential, the subtraction is done in its exponent. By a constant it is a product."""
    places = 0
    for operator in sketch.operators:
        if sketch.kind(operator) != "DIV" or fused_activation(operator):
            continue
        above, below = flatbuffer.inputs(operator)
        target = flatbuffer.outputs(operator)[0]
        shape, label = sketch.shape(target), sketch.label(target)
        known = sketch.constant(below)
        if known is not None:
            if not np.all(known):
                continue
            sketch.add(operator, "MUL", [above, sketch.put(1 / known)], shape, label, into=target)
        else:
            log = sketch.add(operator, "LOG", [below], sketch.shape(below), label)
            raised = sketch.maker(above, "EXP")
            if raised is not None:
                exponent = sketch.add(operator, "SUB", [flatbuffer.inputs(raised)[0], log], shape, label)
                sketch.add(operator, "EXP", [exponent], shape, label, into=target)
            else:
                minus = sketch.add(operator, "MUL", [log, sketch.put([-1.0])], sketch.shape(below), label)
                inverse = sketch.add(operator, "EXP", [minus], sketch.shape(below), label)
                sketch.add(operator, "MUL", [above, inverse], shape, label, into=target)
        sketch.remove(operator)
        places += 1
    return places


def powers(sketch: Sketch) -> int:
    """SQRT, and POW by one constant; but not squares, which are products."""
    places = 0
    for operator in sketch.operators:
        exponent = _exponent(sketch, operator)
        if exponent is None or exponent == 2:
            continue
        source, target = flatbuffer.inputs(operator)[0], flatbuffer.outputs(operator)[0]
        shape, label = sketch.shape(target), sketch.label(target)
        above_zero = sketch.add(operator, "ADD", [source, sketch.put([_TINY])], shape, label)
        log = sketch.add(operator, "LOG", [above_zero], shape, label)
        times = sketch.add(operator, "MUL", [log, sketch.put([exponent])], shape, label)
        sketch.add(operator, "EXP", [times], shape, label, into=target)
        sketch.remove(operator)
        places += 1
    return places


def logarithms(sketch: Sketch) -> int:
    """LOG of an EXP, whose value may have a floor: the exponent, or the logarithm of the floor. Quotients by roots
    have it, and 256 steps of a root tell its small values apart worse than those of its logarithm."""
    places = 0
    for operator in sketch.operators:
        if sketch.kind(operator) != "LOG":
            continue
        tensor, floor = flatbuffer.inputs(operator)[0], 0.0
        while (maker := sketch.maker(tensor, "RESHAPE", "MAXIMUM")) is not None:
            if sketch.kind(maker) == "MAXIMUM":
                split = sketch.split_constant(maker)
                if split is None or split[1].size != 1 or split[1].item() <= 0:
                    break
                floor = max(floor, split[1].item())
                tensor = split[0]
            else:
                tensor = flatbuffer.inputs(maker)[0]
        raised = sketch.maker(tensor, "EXP")
        if raised is None:
            continue
        target = flatbuffer.outputs(operator)[0]
        shape, label = sketch.shape(target), sketch.label(target)
        exponent = flatbuffer.inputs(raised)[0]
        if floor:
            exponent = sketch.reshape(operator, exponent, shape, label)
            least = sketch.put([np.log(floor)])
            sketch.add(operator, "MAXIMUM", [exponent, least], shape, label, into=target)
        else:
            sketch.reshape(operator, exponent, shape, label, into=target)
        sketch.remove(operator)
        places += 1
    return places


def _exponent(sketch: Sketch, operator: Any) -> float | None:
    """What an operator raises its first operand to, where that is one constant number."""
    if sketch.kind(operator) == "SQRT":
        return 0.5
    known = sketch.constant(flatbuffer.inputs(operator)[1]) if sketch.kind(operator) == "POW" else None
    return float(known.item()) if known is not None and known.size == 1 else None
