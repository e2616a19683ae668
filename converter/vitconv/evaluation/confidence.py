"""Does a file's confidence hold on held-out images? Its temperature and thresholds come from validation images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from vitconv.checkpoints.answers import answered
from vitconv.tflite.confidence import Confidence, Share, expected_calibration_error


@dataclass(frozen=True)
class Promise:
    """At a threshold for `error_rate`: the share of images that get an answer, and the share of these answers
    that is wrong (None where there is none)."""

    error_rate: Share
    answered: Share
    wrong: Share | None


@dataclass(frozen=True)
class FileConfidence:
    """Of one file, on held-out images: expected calibration error without and with its temperature, and what
    becomes of its thresholds. `fitted_here`: these images are those that it was fitted on, so new ones will be a
    little worse."""

    path: str
    scheme: str
    temperature: Annotated[float, msgspec.Meta(gt=0, le=1000)]
    error_before: Share
    error_after: Share
    promises: tuple[Promise, ...]
    fitted_here: bool

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "promises": [asdict(promise) for promise in self.promises]}


def held_out(
    path: str,
    scheme: str,
    fitted: Confidence,
    probabilities: NDArray[np.floating],
    labels: NDArray[np.int64],
    split: str,
) -> FileConfidence:
    """probabilities: the file's, float [N, classes]; those that are NaN or infinite are left out, which fails the
    file elsewhere. split: the digest of the images' split."""
    whole = answered(probabilities)
    probabilities, labels = probabilities[whole], labels[whole]
    if not len(labels):
        return FileConfidence(path, scheme, fitted.temperature, 1.0, 1.0, (), False)
    scaled = fitted.apply(probabilities)
    confidence, right = scaled.max(axis=1), scaled.argmax(axis=1) == labels
    promises = []
    for one in fitted.thresholds:
        if one.least is None:
            continue
        accepted = confidence >= one.least
        wrong = float(np.mean(~right[accepted])) if accepted.any() else None
        promises.append(Promise(one.error_rate, float(accepted.mean()), wrong))
    return FileConfidence(
        path,
        scheme,
        fitted.temperature,
        expected_calibration_error(probabilities, labels),
        expected_calibration_error(scaled, labels),
        tuple(promises),
        fitted.split_digest == split,
    )
