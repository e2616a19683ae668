"""No tensor of more than four dimensions: neighbouring axes that an operator treats alike are one axis for it.

Each operator reads and gives fewer axes, with a RESHAPE before and behind; `views` then merges those.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from vitconv.conversion.sketch import Sketch
from vitconv.tflite import flatbuffer

_MOST = 4
# Each value of the result from the values in the same place, where axes of length 1 count for any place.
_ELEMENTWISE = (
    "ABS", "ADD", "CAST", "DIV", "ELU", "EQUAL", "EXP", "GELU", "GREATER", "GREATER_EQUAL", "HARD_SWISH",
    "LEAKY_RELU", "LESS", "LESS_EQUAL", "LOG", "LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "LOGISTIC", "MAXIMUM",
    "MINIMUM", "MUL", "NEG", "NOT_EQUAL", "POW", "RELU", "RELU6", "RELU_N1_TO_1", "RSQRT", "SELECT", "SELECT_V2",
    "SQRT", "SQUARE", "SQUARED_DIFFERENCE", "SUB", "TANH",
)  # fmt: skip
_ROWWISE = ("SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION", "FULLY_CONNECTED")  # over the last axis
_REDUCTIONS = ("SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")


def lower(sketch: Sketch) -> int:
    """What cannot be told in four axes is left as it is."""
    places = 0
    for operator in sketch.operators:
        tensors = [*flatbuffer.inputs(operator), *flatbuffer.outputs(operator)]
        if any(len(sketch.shape(tensor)) > _MOST for tensor in tensors):
            places += _lower(sketch, operator)
    return places


def _lower(sketch: Sketch, operator: Any) -> bool:
    kind = sketch.kind(operator)
    if kind in _ELEMENTWISE:
        return _elementwise(sketch, operator)
    if kind in _ROWWISE:
        return _rowwise(sketch, operator)
    if kind in _REDUCTIONS:
        return _reduction(sketch, operator)
    lowered = {
        "BATCH_MATMUL": _product,
        "CONCATENATION": _concatenation,
        "PACK": _pack,
        "SPLIT": _split,
        "STRIDED_SLICE": _slice,
        "TRANSPOSE": _transpose,
        "UNPACK": _unpack,
    }.get(str(kind))
    return lowered is not None and lowered(sketch, operator)


def _runs(roles: Sequence[Hashable]) -> list[list[int]]:
    """Neighbouring axes of the same role together."""
    runs: list[list[int]] = []
    for axis, role in enumerate(roles):
        if runs and roles[runs[-1][-1]] == role:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return runs


def _merged(shape: Sequence[int], runs: Sequence[Sequence[int]]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis] for axis in run) for run in runs)


def _elementwise(sketch: Sketch, operator: Any) -> bool:
    target = flatbuffer.outputs(operator)[0]
    shape, operands = sketch.shape(target), flatbuffer.inputs(operator)
    full = [(1,) * (len(shape) - len(sketch.shape(one))) + sketch.shape(one) for one in operands]
    # An axis of length 1 in all of them goes with any neighbour.
    places = [axis for axis in range(len(shape)) if shape[axis] != 1]
    roles = [tuple(one[axis] == 1 for one in full) for axis in places]
    runs = [[places[index] for index in run] for run in _runs(roles)]
    if len(runs) > _MOST:
        return False
    new = [
        _constant_or_view(sketch, operator, one, _merged(its_shape, runs))
        for one, its_shape in zip(operands, full, strict=True)
    ]
    sketch.rewire(operator, new)
    sketch.reshaped_output(operator, _merged(shape, runs))
    return True


def _constant_or_view(sketch: Sketch, operator: Any, tensor: int, shape: tuple[int, ...]) -> int:
    values = sketch.constant(tensor)
    if values is not None and values.dtype in (np.float32, np.int32):
        return sketch.put(values.reshape(shape))
    return sketch.reshape(operator, tensor, shape, sketch.label(tensor))


def _rowwise(sketch: Sketch, operator: Any) -> bool:
    source, *others = flatbuffer.inputs(operator)
    target = flatbuffer.outputs(operator)[0]
    given, computed = sketch.shape(source), sketch.shape(target)
    rows = math.prod(computed[:-1])
    if sketch.kind(operator) == "FULLY_CONNECTED":
        if others and sketch.constant(others[0]) is None:
            return False
        operator.builtinOptions.keepNumDims = True
    sketch.rewire(
        operator, [sketch.reshape(operator, source, (1, rows, given[-1]), sketch.label(source)), *others]
    )
    sketch.reshaped_output(operator, (1, rows, computed[-1]))
    return True


def _reduction(sketch: Sketch, operator: Any) -> bool:
    source, axes_index = flatbuffer.inputs(operator)
    axes, shape = sketch.constant(axes_index), sketch.shape(source)
    if axes is None:
        return False
    reduced = {int(axis) % len(shape) for axis in np.ravel(axes)}
    places = [axis for axis in range(len(shape)) if shape[axis] != 1]
    runs = [[places[i] for i in run] for run in _runs([axis in reduced for axis in places])]
    if len(runs) > _MOST:
        return False
    merged = _merged(shape, runs)
    over = [index for index, run in enumerate(runs) if run[0] in reduced]
    view = sketch.reshape(operator, source, merged, sketch.label(source))
    sketch.rewire(operator, [view, sketch.put(np.array(over, np.int32))])
    operator.builtinOptions.keepDims = True
    sketch.reshaped_output(operator, tuple(1 if i in over else size for i, size in enumerate(merged)))
    return True


def _product(sketch: Sketch, operator: Any) -> bool:
    operands, target = flatbuffer.inputs(operator), flatbuffer.outputs(operator)[0]
    shapes = [sketch.shape(one) for one in operands]
    rank = max(map(len, shapes))
    shapes = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    outer = range(rank - 2)
    runs = _runs([tuple(shape[axis] == 1 for shape in shapes) for axis in outer])
    runs = [run for run in runs if any(shape[axis] != 1 for shape in shapes for axis in run)]
    if len(runs) > 2:
        return False
    views = [
        _constant_or_view(sketch, operator, one, (*_merged(shape, runs), *shape[-2:]))
        for one, shape in zip(operands, shapes, strict=True)
    ]
    result = sketch.shape(target)
    sizes = [max(pair) for pair in zip(*(_merged(shape, runs) for shape in shapes), strict=True)]
    sketch.rewire(operator, views)
    sketch.reshaped_output(operator, (*sizes, *result[-2:]))
    return True


def _transpose(sketch: Sketch, operator: Any) -> bool:
    """In one step, or in several that each move one group of axes to its place."""
    source, order_index = flatbuffer.inputs(operator)
    order, shape = sketch.constant(order_index), sketch.shape(source)
    if order is None:
        return False
    wanted = [int(axis) for axis in order if shape[int(axis)] != 1]
    stored = sorted(wanted)
    sizes = {axis: shape[axis] for axis in stored}
    while len(runs := _in_a_row(wanted, stored)) > _MOST:
        place = next(index for index, axis in enumerate(wanted) if stored[index] != axis)
        run = next(one for one in runs if one[0] == wanted[place])
        at = stored.index(run[0])
        groups = [stored[:place], stored[place:at], run, stored[at + len(run) :]]
        view = sketch.reshape(
            operator, source, [math.prod(sizes[axis] for axis in one) for one in groups], sketch.label(source)
        )
        before, moved, one, after = sketch.shape(view)
        turns = sketch.put([0, 2, 1, 3])
        source = sketch.add(
            operator, "TRANSPOSE", [view, turns], (before, one, moved, after), sketch.label(source)
        )
        stored = [axis for group in (groups[0], run, groups[1], groups[3]) for axis in group]
    before_runs = sorted(runs, key=lambda run: stored.index(run[0]))
    lengths = [math.prod(sizes[axis] for axis in run) for run in before_runs]
    view = sketch.reshape(operator, source, lengths, sketch.label(source))
    sketch.rewire(operator, [view, sketch.put([before_runs.index(run) for run in runs])])
    sketch.reshaped_output(operator, [math.prod(sizes[axis] for axis in run) for run in runs])
    return True


def _in_a_row(wanted: Sequence[int], stored: Sequence[int]) -> list[list[int]]:
    """The wanted order of axes, in groups that are neighbours already where they are stored."""
    runs: list[list[int]] = []
    for axis in wanted:
        if runs and stored.index(axis) == stored.index(runs[-1][-1]) + 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return runs


def _around(shape: Sequence[int], axis: int) -> tuple[int, int, int]:
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _concatenation(sketch: Sketch, operator: Any) -> bool:
    operands, target = flatbuffer.inputs(operator), flatbuffer.outputs(operator)[0]
    shape = sketch.shape(target)
    axis = operator.builtinOptions.axis % len(shape)
    views = [_constant_or_view(sketch, operator, one, _around(sketch.shape(one), axis)) for one in operands]
    sketch.rewire(operator, views)
    operator.builtinOptions.axis = 1
    sketch.reshaped_output(operator, _around(shape, axis))
    return True


def _pack(sketch: Sketch, operator: Any) -> bool:
    """As a CONCATENATION along an axis of length 1."""
    operands, target = flatbuffer.inputs(operator), flatbuffer.outputs(operator)[0]
    shape = sketch.shape(target)
    before, count, after = _around(shape, operator.builtinOptions.axis % len(shape))
    views = [_constant_or_view(sketch, operator, one, (before, 1, after)) for one in operands]
    label = sketch.label(target)
    joined = sketch.add(operator, "CONCATENATION", views, (before, count, after), label, axis=1)
    sketch.reshape(operator, joined, shape, label, into=target)
    sketch.remove(operator)
    return True


def _unpack(sketch: Sketch, operator: Any) -> bool:
    """As slices, one for each result that somebody reads."""
    source = flatbuffer.inputs(operator)[0]
    shape = sketch.shape(source)
    before, _, after = _around(shape, operator.builtinOptions.axis % len(shape))
    view = sketch.reshape(
        operator, source, _around(shape, operator.builtinOptions.axis % len(shape)), sketch.label(source)
    )
    for index, target in enumerate(flatbuffer.outputs(operator)):
        if not sketch.readers(target) and target not in sketch.ends:
            continue
        label = sketch.label(target)
        begin, size = sketch.put([0, index, 0]), sketch.put([before, 1, after])
        part = sketch.add(operator, "SLICE", [view, begin, size], (before, 1, after), label)
        sketch.reshape(operator, part, sketch.shape(target), label, into=target)
    sketch.remove(operator)
    return True


def _split(sketch: Sketch, operator: Any) -> bool:
    axis_index, source = flatbuffer.inputs(operator)
    axis, shape = sketch.constant(axis_index), sketch.shape(source)
    if axis is None:
        return False
    place = int(axis.ravel()[0]) % len(shape)
    view = sketch.reshape(operator, source, _around(shape, place), sketch.label(source))
    offset = 0
    for target in flatbuffer.outputs(operator):
        before, count, after = _around(sketch.shape(target), place)
        label = sketch.label(target)
        begin, size = sketch.put([0, offset, 0]), sketch.put([before, count, after])
        part = sketch.add(operator, "SLICE", [view, begin, size], (before, count, after), label)
        sketch.reshape(operator, part, sketch.shape(target), label, into=target)
        offset += count
    sketch.remove(operator)
    return True


def _slice(sketch: Sketch, operator: Any) -> bool:
    """One with steps of 1: axes that are taken whole go together."""
    source, *limits = flatbuffer.inputs(operator)
    target, options = flatbuffer.outputs(operator)[0], operator.builtinOptions
    shape = sketch.shape(source)
    begin, end, steps = (sketch.constant(one) for one in limits)
    if begin is None or end is None or steps is None or options.ellipsisMask or options.newAxisMask:
        return False
    if not np.all(steps == 1) or len(begin) != len(shape):
        return False
    starts, sizes = [], []
    for axis, length in enumerate(shape):
        first = 0 if options.beginMask >> axis & 1 else _place(int(begin[axis]), length)
        last = length if options.endMask >> axis & 1 else _place(int(end[axis]), length)
        if options.shrinkAxisMask >> axis & 1:
            last = first + 1
        starts.append(first)
        sizes.append(last - first)
    runs = _runs(
        [-1 if size == length else axis for axis, (size, length) in enumerate(zip(sizes, shape, strict=True))]
    )
    if len(runs) > _MOST or min(sizes) < 1:
        return False
    merged = _merged(sizes, runs)
    view = sketch.reshape(operator, source, _merged(shape, runs), sketch.label(source))
    first_of = [starts[run[0]] if len(run) == 1 else 0 for run in runs]
    label = sketch.label(target)
    part = sketch.add(operator, "SLICE", [view, sketch.put(first_of), sketch.put(merged)], merged, label)
    sketch.reshape(operator, part, sketch.shape(target), label, into=target)
    sketch.remove(operator)
    return True


def _place(value: int, length: int) -> int:
    return min(max(value + length if value < 0 else value, 0), length)
