"""Attention, softmax(scores) · values, as a weighted sum that is divided at the end.

The weights are e to the score less a shift that is free to choose, as in `models.normalisation.attended`, whose
comments give the reasons. TFLite's integer SOFTMAX has steps of 1/256, several times an attention weight among
hundreds of tokens. What a mask hides has the weight 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from vitconv.conversion.rules import masks
from vitconv.conversion.sketch import Sketch
from vitconv.tflite import flatbuffer

_OCTAVE = 7.0  # what a value in eight bits from 0 to 6, plus 1, reaches
_RELU = schema.ActivationFunctionType.RELU
_RELU6 = schema.ActivationFunctionType.RELU6


def shift(sketch: Sketch) -> int:
    """SOFTMAX whose result only one BATCH_MATMUL reads, as its first matrix."""
    places = 0
    for operator in sketch.operators:
        if sketch.kind(operator) != "SOFTMAX" or operator.builtinOptions.beta != 1:
            continue
        scores, weights = flatbuffer.inputs(operator)[0], flatbuffer.outputs(operator)[0]
        product = sketch.only_reader(weights, "BATCH_MATMUL")
        if product is None or flatbuffer.inputs(product)[0] != weights or product.builtinOptions.adjX:
            continue
        if sketch.shape(scores)[-1] > 1:
            _write(sketch, operator, product, scores)
            places += 1
    return places


def _write(sketch: Sketch, softmax: Any, product: Any, scores: int) -> None:
    shape, label = sketch.shape(scores), sketch.label(flatbuffer.outputs(softmax)[0])
    row = (*shape[:-1], 1)

    def add(kind: str, *inputs: int, size: tuple[int, ...] = row, **options: Any) -> int:
        return sketch.add(softmax, kind, inputs, size, label, **options)

    masked = masks.find(sketch, scores)
    visible, compared, keep = scores, scores, -1
    if masked is not None:
        keep = sketch.put(masked.keep.astype(np.float32))
        visible = sketch.reshape(softmax, masked.visible, shape, label)
        compared = masks.hidden(sketch, softmax, visible, masked.keep, shape, label)
    below = add("SUB", visible, _shift(sketch, add, compared), size=shape)
    if masked is not None:
        below = add("MUL", below, keep, size=shape)  # a hidden score may be far above the others
    raised = add("ADD", add("ELU", below, size=shape), sketch.put([1.0]), size=shape)
    if masked is not None:
        raised = add("MUL", raised, keep, size=shape)
    log = _minus_log_of_sum(sketch, add, raised)
    inverse = add("EXP", log)
    _, values = flatbuffer.inputs(product)
    target = flatbuffer.outputs(product)[0]
    mixed = sketch.add(
        product, "BATCH_MATMUL", [raised, values], sketch.shape(target), sketch.label(target),
        adjY=product.builtinOptions.adjY,
    )  # fmt: skip
    sketch.add(product, "MUL", [mixed, inverse], sketch.shape(target), sketch.label(target), into=target)
    sketch.remove(softmax, product)


def _shift(sketch: Sketch, add: Any, scores: int) -> int:
    """No less than a row's maximum, and more where its weights' sum would be large."""
    shape = sketch.shape(scores)
    log_count = math.log(shape[-1])
    peak = add("REDUCE_MAX", scores, sketch.put([len(shape) - 1]), keepDims=True)
    share = sketch.put(np.full((1, shape[-1]), 1 / shape[-1], np.float32))
    mean = add("FULLY_CONNECTED", scores, share, -1, keepNumDims=True)
    distance = add("MUL", add("SUB", peak, mean), sketch.put([-0.5]))
    rest = add("ADD", distance, sketch.put([log_count]), fusedActivationFunction=_RELU)
    square = add("MUL", add("MUL", rest, rest), sketch.put([0.5 / log_count]))
    return int(add("ADD", peak, square))


def _minus_log_of_sum(sketch: Sketch, add: Any, weights: int) -> int:
    """−log of a row's sum, in octaves that eight bits hold one by one."""
    shape = sketch.shape(weights)
    count = shape[-1]
    least = count**-0.125
    octaves = max(1, math.ceil(math.log(count / least, _OCTAVE)))
    shares = np.tile(_OCTAVE ** -np.arange(octaves)[:, np.newaxis] / least, (1, count)).astype(np.float32)
    parts = (*shape[:-1], octaves)
    factors = add("FULLY_CONNECTED", weights, sketch.put(shares), sketch.put(-np.ones(octaves, np.float32)),
                  size=parts, keepNumDims=True, fusedActivationFunction=_RELU6)  # fmt: skip
    logs = add("LOG", add("ADD", factors, sketch.put([1.0]), size=parts), size=parts)
    minus = sketch.put(-np.ones((1, octaves), np.float32))
    bias = sketch.put([-math.log(least)])
    return int(add("FULLY_CONNECTED", logs, minus, bias, keepNumDims=True))
