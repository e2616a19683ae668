"""NEG, SQUARE and POW by 2, of which TFLite has no integer form, as products. NEG is what Keras's
LayerNormalization leaves."""

from __future__ import annotations

import numpy as np

from vitconv.conversion.sketch import Sketch
from vitconv.tflite import flatbuffer


def as_products(sketch: Sketch) -> int:
    places = 0
    for operator in sketch.operators:
        kind = sketch.kind(operator)
        if kind not in ("NEG", "SQUARE", "POW"):
            continue
        source, target = flatbuffer.inputs(operator)[0], flatbuffer.outputs(operator)[0]
        if kind == "POW":
            exponent = sketch.constant(flatbuffer.inputs(operator)[1])
            if exponent is None or not np.all(exponent == 2):
                continue
        other = sketch.put([-1.0]) if kind == "NEG" else source
        sketch.add(operator, "MUL", [source, other], sketch.shape(target), sketch.label(target), into=target)
        sketch.remove(operator)
        places += 1
    return places
