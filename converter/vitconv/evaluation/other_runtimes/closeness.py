"""How close a file's answers on another runtime are to Keras's, and to LiteRT's on this machine's processor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitconv.runtimes.litert import Runner

FLOAT32_ERROR = 1e-4  # of a probability; sums in another order differ by 1e-6
FLOAT_ERROR = 1e-3  # of a probability, where weights or activations are rounded
MOST_STEPS = 2  # of an integer output, beyond twice what LiteRT's own two ways to compute it differ by


@dataclass(frozen=True, eq=False)
class LiteRtAnswers:
    """What LiteRT gives for some images, with XNNPACK (True) and without (False): the outputs as they are stored,
    and as probabilities, [N, classes]."""

    outputs: dict[bool, np.ndarray]
    probabilities: dict[bool, np.ndarray]

    @property
    def spread_steps(self) -> int | None:
        """How far the two are from each other, in steps; None for float outputs."""
        return largest_steps(self.outputs[True], self.outputs[False])

    @property
    def spread(self) -> float:
        """The same of the probabilities."""
        return largest_error(self.probabilities[True], self.probabilities[False])


def litert_answers(path: Path, images: np.ndarray) -> LiteRtAnswers:
    """images: uint8 [N, H, W, 3]. Raises ModelFileError where LiteRT cannot run the file."""
    outputs, probabilities = {}, {}
    for xnnpack in (True, False):
        with Runner(path, xnnpack=xnnpack) as runner:
            outputs[xnnpack] = runner.run(images)
            probabilities[xnnpack] = runner.dequantized(outputs[xnnpack])
    return LiteRtAnswers(outputs, probabilities)


def largest_steps(actual: np.ndarray, expected: np.ndarray) -> int | None:
    """Largest difference of integer outputs; None for float ones."""
    if expected.dtype.kind not in "iu":
        return None
    return int(np.abs(actual.astype(np.int64) - expected.astype(np.int64)).max())


def largest_error(probabilities: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference; infinite where the shapes differ or something is no number."""
    if probabilities.shape != expected.shape or not np.isfinite(probabilities).all():
        return float("inf")
    return float(np.abs(probabilities.astype(np.float64) - expected).max())


def too_far(error: float, off: float, allowed: float, steps: int | None, spread: int | None) -> Iterator[str]:
    """What is wrong with a file's answers. error: from Keras; off: what a float file may be off by `allowed`;
    steps, spread: of integer outputs."""
    if not np.isfinite(error):
        yield "gives NaN or infinity, or another number of classes than Keras"
    elif steps is None and off > allowed:
        yield f"is off by {off:.2g} in a probability, more than {allowed:.2g}"
    if steps is not None and spread is not None and steps > 2 * spread + MOST_STEPS:
        yield f"is {steps} steps from LiteRT's output, more than {2 * spread + MOST_STEPS}"
