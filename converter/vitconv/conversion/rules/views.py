"""Operators that move values without computing: what several in a row do, one does."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from vitconv.conversion.sketch import Sketch
from vitconv.tflite import flatbuffer

_MOST = 4  # dimensions of a tensor, as `ranks` has it


def merge(sketch: Sketch) -> int:
    """RESHAPE of RESHAPE, TRANSPOSE of TRANSPOSE, and those that change nothing."""
    places = 0
    for operator in sketch.operators:
        kind = sketch.kind(operator)
        if kind == "TRANSPOSE":
            places += _transpose(sketch, operator)
        elif kind == "RESHAPE":
            places += _reshape(sketch, operator)
            if sketch.maker(flatbuffer.outputs(operator)[0]) is operator:
                places += _behind_softmax(sketch, operator)
    return places


def _behind_softmax(sketch: Sketch, operator: Any) -> int:
    """A RESHAPE that leaves the last axis as it is, in front of the SOFTMAX that it was behind."""
    source, target = flatbuffer.inputs(operator)[0], flatbuffer.outputs(operator)[0]
    softmax, shape = sketch.maker(source, "SOFTMAX"), sketch.shape(target)
    if softmax is None or sketch.only_reader(source) is None or target in sketch.ends:
        return 0
    if shape[-1] != sketch.shape(source)[-1] or len(shape) > _MOST:
        return 0
    label = sketch.label(source)
    view = sketch.reshape(operator, flatbuffer.inputs(softmax)[0], shape, label)
    made = sketch.add(operator, "SOFTMAX", [view], shape, label, beta=softmax.builtinOptions.beta)
    sketch.replace(target, made)
    sketch.remove(softmax)
    before = sketch.maker(view, "RESHAPE")
    if before is not None:
        _reshape(sketch, before)
    return 1


def _transpose(sketch: Sketch, operator: Any) -> int:
    source, axes = flatbuffer.inputs(operator)
    order, before = sketch.constant(axes), sketch.maker(source, "TRANSPOSE")
    if order is None:
        return 0
    found = 0
    if before is not None and (inner := sketch.constant(flatbuffer.inputs(before)[1])) is not None:
        order = inner[order]
        source = flatbuffer.inputs(before)[0]
        sketch.rewire(operator, [source, sketch.put(order)])
        found = 1
    shape = sketch.shape(source)
    kept = [int(axis) for axis in order if shape[int(axis)] != 1]
    if kept != sorted(kept):
        return found
    # Only axes of length 1 change their place.
    target = flatbuffer.outputs(operator)[0]
    following = sketch.operators[[op is operator for op in sketch.operators].index(True) + 1 :]
    sketch.remove(operator)
    sketch.reshape(following[0] if following else None, source, sketch.shape(target), "", into=target)
    made = sketch.maker(target)
    _reshape(sketch, made)
    return 1


def _reshape(sketch: Sketch, operator: Any) -> int:
    source, target = flatbuffer.inputs(operator)[0], flatbuffer.outputs(operator)[0]
    if sketch.constant(source) is not None:
        return 0
    found = 0
    before = sketch.maker(source, "RESHAPE")
    if before is not None:
        source = flatbuffer.inputs(before)[0]
        sizes = np.array(sketch.shape(target), np.int32)
        sketch.rewire(operator, [source, sketch.put(sizes)])
        operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
        operator.builtinOptions = schema.ReshapeOptionsT(newShape=sizes)
        found = 1
    if sketch.shape(source) == sketch.shape(target) and target not in sketch.ends:
        sketch.replace(target, source)
        sketch.remove(operator)
        found = 1
    return found
