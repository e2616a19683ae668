"""How far a file's answers are from the float graph's, where it matters: between the two likeliest classes."""

from __future__ import annotations

import numpy as np

from vitconv.quantization import output_steps

_HALF_A_STEP = output_steps.STEP / 2  # eight bits cannot tell a smaller probability from nothing
_SMALLEST = 1e-7  # that counts in float


def answer_errors(actual: np.ndarray, expected: np.ndarray, floor: float = _HALF_A_STEP) -> np.ndarray:
    """Of probabilities [N, classes], for each image: the squared error of log(p₁ / p₂), where p₁ and p₂ are those
    of the two classes that the float graph finds likeliest. Its sign is the answer; probabilities that are all but
    zero, of which there are many among a hundred classes, have no part in it. `floor` is the smallest that
    counts."""
    best = _best_two(expected)
    return np.asarray((_margins(actual, best, floor) - _margins(expected, best, floor)) ** 2)


def least_sure_first(expected: np.ndarray, floor: float) -> np.ndarray:
    """Indices of answers [N, classes], those first whose two likeliest classes are nearest to each other."""
    return np.argsort(_margins(expected, _best_two(expected), floor), kind="stable")


def floor_of(expected: np.ndarray) -> float:
    """The smallest probability that counts in a file with these answers, [N, classes]: half a step of eight bits.
    Where those cannot hold the answers at all (`output_steps.Rounded.undecided`) it is one that float tells from
    0."""
    return _SMALLEST if output_steps.rounded(expected).undecided else _HALF_A_STEP


def _best_two(probabilities: np.ndarray) -> np.ndarray:
    """The two likeliest classes: int [N, 2] of float [N, classes]."""
    return np.argsort(-probabilities, axis=1)[:, :2]


def _margins(probabilities: np.ndarray, classes: np.ndarray, floor: float) -> np.ndarray:
    """log(p₁ / p₂) of two classes each: float [N] of float [N, classes] and int [N, 2]."""
    logs = np.log(np.maximum(np.take_along_axis(probabilities, classes, axis=1), floor))
    return np.asarray(logs[:, 0] - logs[:, 1])
