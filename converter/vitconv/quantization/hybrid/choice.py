"""What an int8-hybrid file keeps in float.

`sensitivity` weighs each unit against a file in which nearly all others are float. That file errs little, so
that every unit looks dear in integers. Once some units are in integers, the error of the others is a smaller part
of the whole, and float is worth less. So whole files are compared at the end: what the search found, and a few
with fewer or more units in float (`gradation`).
"""

from __future__ import annotations

import math

import numpy as np

from vitconv.foundation.progress import Progress
from vitconv.quantization import output_steps
from vitconv.quantization.hybrid import sensitivity
from vitconv.quantization.hybrid.gradation import gradation
from vitconv.quantization.hybrid.kept import Kept
from vitconv.quantization.hybrid.trial import ERROR_FOR_COST, Trial, price
from vitconv.quantization.ranges import TensorRange
from vitconv.tflite.graph import Graph

_LEAST_ERROR = 1e-12  # nats²


def choose(
    graph: Graph,
    ranges: tuple[TensorRange, ...],
    images: np.ndarray,
    expected: np.ndarray,
    progress: Progress | None = None,
    by_branches: bool = False,
) -> Kept:
    """Of the float graph, with its ranges. images: uint8 [N, H, W, 3]; expected, float64 [N, classes]: the graph's
    answers to them. by_branches: `units.units`'."""
    trial = Trial(graph, ranges, images, expected)
    found = sensitivity.search(trial, progress, by_branches)
    ways = (found, *gradation(graph, found, by_branches))
    worth = []
    for done, kept in enumerate(ways):
        if progress:
            progress("comparing hybrid files", done, len(ways))
        worth.append(_error_and_cost(trial, kept))
    if progress:
        progress("comparing hybrid files", len(ways), len(ways))
    return ways[int(np.argmin(worth))]


def _error_and_cost(trial: Trial, kept: Kept) -> float:
    """The smaller, the better: the logarithm of the error, and what the file's cost is worth of it."""
    file = trial.file(kept.tensors)
    error = float(trial.errors(output_steps.loaded(file.data)).mean())
    cost = price(math.log(file.instructions), math.log(file.size))
    return math.log(max(error, _LEAST_ERROR)) + ERROR_FOR_COST * cost
