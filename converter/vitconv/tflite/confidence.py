"""How sure a file's answers are, in numbers that mean something: a temperature, and thresholds for stated error
rates.

It stands in the file's metadata, in vitconv.json, which other programs leave alone. Nothing applies it unless it
is asked to: a file's own probabilities stay those that Keras gives.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from vitconv.foundation import documents

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Threshold(msgspec.Struct, frozen=True):
    """Answers of at least `least` confidence are wrong in at most `error_rate` of all cases, shown with 95 %
    certainty; `answered` is the share of the validation images that have one. Both are None where these images
    were too few to show it of any threshold."""

    error_rate: Share
    least: Share | None
    answered: Share | None


class Confidence(msgspec.Struct, frozen=True):
    """Fitted on `images` validation images, of which `split_digest` tells which.

    temperature: probabilities become pᵢ^(1/T) / Σ pⱼ^(1/T), which is the softmax of the logits divided by T (Guo
    et al., 2017, "On Calibration of Modern Neural Networks"). floor: what a probability counts as at least: a
    file that rounds gives 0 for what may have been more. error_before, error_after: expected calibration error on
    these images without and with the temperature.
    """

    temperature: Annotated[float, msgspec.Meta(gt=0, le=1000)]
    floor: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    split: str
    split_digest: str
    images: Annotated[int, msgspec.Meta(ge=1)]
    error_before: Share
    error_after: Share
    thresholds: tuple[Threshold, ...]

    def apply(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """A file's probabilities, float [N, classes] → those with the temperature, of sum 1; NaN where one is."""
        logs = np.log(np.maximum(np.asarray(probabilities, np.float64), self.floor)) / self.temperature
        raised = np.exp(logs - logs.max(axis=1, keepdims=True))
        scaled: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
        return scaled

    def threshold(self, error_rate: float) -> Threshold | None:
        """The loosest of those that promise at most this error rate; None where no threshold does."""
        fit = [one for one in self.thresholds if one.least is not None and one.error_rate <= error_rate + 1e-9]
        return max(fit, key=lambda one: one.error_rate, default=None)

    @property
    def lowest_rate(self) -> float | None:
        """The lowest error rate that there is a threshold for."""
        return min((one.error_rate for one in self.thresholds if one.least is not None), default=None)

    def to_json(self) -> dict[str, Any]:
        return dict(documents.to_json(self))


def expected_calibration_error(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """By how much confidence misses accuracy: over 15 equal bins of confidence, Σ share of images · |mean
    confidence − accuracy| (Naeini et al., 2015). probabilities: float [N, classes], labels: int [N]; 0 to 1."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.clip((confidence * 15).astype(int), 0, 14)
    gaps = np.zeros(15)
    np.add.at(gaps, bins, confidence - right)
    return float(np.abs(gaps).sum() / len(labels))
