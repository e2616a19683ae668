"""NEG and SQUARE, of which TFLite has no integer form, as products. NEG is what Keras's LayerNormalization
leaves."""

from __future__ import annotations

from vitconv.conversion.sketch import Sketch
from vitconv.tflite import flatbuffer


def as_products(sketch: Sketch) -> int:
    places = 0
    for operator in sketch.operators:
        kind = sketch.kind(operator)
        if kind not in ("NEG", "SQUARE"):
            continue
        source, target = flatbuffer.inputs(operator)[0], flatbuffer.outputs(operator)[0]
        other = source if kind == "SQUARE" else sketch.put([-1.0])
        sketch.add(operator, "MUL", [source, other], sketch.shape(target), sketch.label(target), into=target)
        sketch.remove(operator)
        places += 1
    return places
