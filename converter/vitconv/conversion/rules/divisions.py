"""Quotients and roots, of which TFLite has no integer form, by logarithms: x / y = x · e^(−log y), √x = e^(½ log
x).

They hold for positive y and x alone, which the proof on pictures sees to: a logarithm of anything else is no
number.
"""

from __future__ import annotations

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


def roots(sketch: Sketch) -> int:
    """SQRT."""
    places = 0
    for operator in sketch.operators:
        if sketch.kind(operator) != "SQRT":
            continue
        source, target = flatbuffer.inputs(operator)[0], flatbuffer.outputs(operator)[0]
        shape, label = sketch.shape(target), sketch.label(target)
        above_zero = sketch.add(operator, "ADD", [source, sketch.put([_TINY])], shape, label)
        log = sketch.add(operator, "LOG", [above_zero], shape, label)
        half = sketch.add(operator, "MUL", [log, sketch.put([0.5])], shape, label)
        sketch.add(operator, "EXP", [half], shape, label, into=target)
        sketch.remove(operator)
        places += 1
    return places
