"""What the rules for normalisations share: what becomes of a root is followed as a polynomial, and what is written
divides by a magnitude first and by a root mean square then (`models.normalisation.normalise` says why).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vitconv.conversion.sketch import Sketch, fused_activation
from vitconv.tflite import flatbuffer

TINY = 1e-6  # keeps logarithms finite where all is zero

# Powers of x, m and r → the factor, float64 [1] or [C].
Polynomial = Mapping[tuple[int, int, int], NDArray[np.float64]]

CONSTANT, X, M, R = (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)
XR, MR = (1, 0, 1), (0, 1, 1)

Change = Callable[[Sketch], int]
"""Of a sketch; says in how many places."""


def both_ways(rewrite: Callable[..., int]) -> tuple[Change, Change]:
    """`rewrite(sketch, with_epsilon)` without ε, which matters only where the variance is tiny, and with it, for
    what the first does not compute exactly enough."""
    return partial(rewrite, with_epsilon=False), partial(rewrite, with_epsilon=True)


def total(first: Polynomial, second: Polynomial, sign: int) -> Polynomial:
    """first + sign · second"""
    zero = np.zeros(1)
    return {
        powers: first.get(powers, zero) + sign * second.get(powers, zero)
        for powers in dict.fromkeys([*first, *second])
    }


def product(first: Polynomial, second: Polynomial) -> Polynomial | None:
    """None where a power is above 1, or x meets m."""
    result: dict[tuple[int, int, int], NDArray[np.float64]] = {}
    for (x, m, r), factor in first.items():
        for (x2, m2, r2), factor2 in second.items():
            powers = (x + x2, m + m2, r + r2)
            if max(powers) > 1 or powers[:2] == (1, 1):
                return None
            result[powers] = result.get(powers, np.zeros(1)) + factor * factor2
    return result


def square_of(sketch: Sketch, tensor: int) -> int | None:
    """x of x²."""
    operator = sketch.maker(base(sketch, tensor), "SQUARE", "MUL")
    if operator is None or fused_activation(operator):
        return None
    operands = flatbuffer.inputs(operator)
    return operands[0] if len(set(operands)) == 1 else None


def base(sketch: Sketch, tensor: int) -> int:
    """What a tensor is only another view of."""
    while (operator := sketch.maker(tensor, "RESHAPE")) is not None:
        tensor = flatbuffer.inputs(operator)[0]
    return tensor


def unit_by_magnitudes(
    sketch: Sketch,
    add: Callable[..., int],
    centred: int,
    row: tuple[int, ...],
    mean_of: Callable[[int], int],
    epsilon: float | None,
) -> int:
    """A tensor over the root of its mean square, and of ε where there is one: adds the operations, and gives the
    last one's tensor.

    add: as `Sketch.add`, of an operator, its inputs, and its `size` where it is not the tensor's. row: the size of
    a mean. mean_of: a tensor → its mean and TINY.
    """
    magnitude = mean_of(add("LEAKY_RELU", centred, alpha=-1.0))
    minus_log = add("MUL", add("LOG", magnitude, size=row), sketch.put([-1.0]), size=row)
    near = add("MUL", centred, add("EXP", minus_log, size=row))
    square = mean_of(add("MUL", near, near))
    if epsilon is not None:
        inverse = add("EXP", add("MUL", minus_log, sketch.put([2.0]), size=row), size=row)
        square = add("ADD", square, add("MUL", inverse, sketch.put([epsilon]), size=row), size=row)
    half = add("MUL", add("LOG", square, size=row), sketch.put([-0.5]), size=row)
    return add("MUL", near, add("EXP", half, size=row))
