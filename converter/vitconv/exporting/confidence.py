"""A file's temperature and thresholds, from its answers to validation images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from vitconv.classifiers.float_model import FloatModel
from vitconv.data.datasets import Dataset, Split
from vitconv.foundation.errors import InputError, PromiseError
from vitconv.foundation.progress import Progress
from vitconv.runtimes.litert import Runner
from vitconv.tflite import metadata
from vitconv.tflite.confidence import Confidence, Threshold, expected_calibration_error
from vitconv.tflite.graph import Graph
from vitconv.tflite.metadata import ModelMetadata

ERROR_RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
IMAGES = 2000  # of the validation split at most: more change a temperature by less than a percent

_FLOOR = 1e-7  # of probabilities that are not rounded
_LEAST_IMAGES = 50
_TRIED = 20  # thresholds
_DELTA = 0.05  # how often a promised error rate may be exceeded


def validation_split(model: FloatModel, dataset: Dataset | None, progress: Progress | None = None) -> Split:
    """What temperatures are fitted on: the validation split, or where there is none, the one that is evaluated on.

    Raises InputError where there are no classes, or too few images.
    """
    if dataset is None or not dataset.labelled:
        raise InputError("--confidence needs pictures with their classes. Give a data set (--dataset).")
    name = "validation" if "validation" in dataset.split_names else dataset.evaluation_name
    split = dataset.split(name, model.image, progress)
    if len(split) < _LEAST_IMAGES:
        raise InputError(
            f"--confidence needs at least {_LEAST_IMAGES} validation images, and {dataset.name} {name} has "
            f"{len(split)}."
        )
    return split


def fitted(
    graph: Graph, said: ModelMetadata, path: Path, split: Split, progress: Progress | None = None
) -> ModelMetadata:
    """The metadata with the confidence of the file that they are for; `path` is where it will be, and is
    written."""
    path.write_bytes(metadata.write(graph, said, path.name).data)
    return replace(said, confidence=_measured(path, split, progress))


def _measured(path: Path, split: Split, progress: Progress | None) -> Confidence:
    """Of a finished file."""
    count = min(len(split), IMAGES)
    chosen = np.arange(count, dtype=np.int64) * len(split) // count
    labels = np.asarray(split.labels)[chosen]
    answers = []
    with Runner(path) as runner:
        step = runner.outputs[0].scale
        for start in range(0, count, 16):
            if progress:
                progress(f"fitting the confidence of {path.stem}", start, count)
            answers.append(runner.probabilities(split.images[chosen[start : start + 16]]))
    if progress:
        progress(f"fitting the confidence of {path.stem}", count, count)
    probabilities = np.concatenate(answers).astype(np.float64)
    if not np.isfinite(probabilities).all():
        raise PromiseError(f"{path.name} gives NaN or infinity for some validation images.")
    # What was rounded to 0 may have been anything below half a step.
    floors = [_FLOOR] if step is None else [step / 2**halvings for halvings in range(1, 7)]
    return fit(probabilities, labels, floors, f"{split.name} ({split.source})", split.digest)


def fit(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    floors: Sequence[float],
    split: str,
    digest: str,
) -> Confidence:
    """probabilities: a file's, float [N, classes]; labels: int [N]. Of the floors that one is taken with which the
    right classes are most probable."""
    fitted = [(floor, *_temperature(np.maximum(probabilities, floor), labels)) for floor in floors]
    floor, temperature, _ = min(fitted, key=lambda one: one[2])
    found = Confidence(round(temperature, 6), floor, split, digest, len(labels), 0.0, 0.0, ())
    scaled = found.apply(probabilities)
    confidence, right = scaled.max(axis=1), scaled.argmax(axis=1) == labels
    before, after = (expected_calibration_error(each, labels) for each in (probabilities, scaled))
    return msgspec.structs.replace(
        found,
        error_before=round(before, 6),
        error_after=round(after, 6),
        thresholds=tuple(_threshold(rate, confidence, right) for rate in ERROR_RATES),
    )


def _temperature(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """The one with which the right classes are most probable (Guo et al., 2017), from 1/20 to 20; and the mean
    cross-entropy with it, in nats."""
    from scipy.optimize import minimize_scalar

    logs = np.log(probabilities)

    def loss(log_temperature: float) -> float:
        scaled = logs / math.exp(log_temperature)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        right = scaled[np.arange(len(labels)), labels]
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - right))

    found = minimize_scalar(loss, bounds=(-math.log(20), math.log(20)), method="bounded")
    return math.exp(float(found.x)), float(found.fun)


def _threshold(rate: float, confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Threshold:
    """The loosest threshold whose answers are shown to be wrong in at most `rate` of all cases.

    Tried are those with which so many twentieths of the images get an answer. Of each the exact upper bound of
    its error (Clopper and Pearson, 1934) is computed at a twentieth of what may go wrong, so that trying several
    spoils nothing (Bonferroni; Angelopoulos et al., 2021, "Learn then Test").
    """
    from scipy.stats import beta

    ordered = np.sort(confidence)[::-1]
    for twentieths in range(_TRIED, 0, -1):
        least = math.floor(float(ordered[math.ceil(len(ordered) * twentieths / _TRIED) - 1]) * 1e6) / 1e6
        accepted = confidence >= least
        count, wrong = int(accepted.sum()), int(np.sum(accepted & ~right))
        most = 1.0 if wrong == count else float(beta.ppf(1 - _DELTA / _TRIED, wrong + 1, count - wrong))
        if most <= rate:
            return Threshold(rate, least, count / len(confidence))
    return Threshold(rate, None, None)
