"""A file's probabilities beside Keras's for the same images: accuracy, agreement, errors, a scheme's limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from vitconv.conversion.schemes import Limits
from vitconv.evaluation.layer_errors import LayerError
from vitconv.foundation.errors import ModelFileError


@dataclass(frozen=True)
class Accuracy:
    """Fractions of images whose true class is the most probable one, or among the five most probable, and the
    mean cross-entropy in nats."""

    top1: float
    top5: float
    loss: float


@dataclass(frozen=True)
class FileVerification:
    """One file against Keras on the same images.

    top1_drop: accuracy lost, in percentage points (negative: gained). agreement: fraction of images with the same
    first class. max_abs_error, mean_abs_error: of the probabilities. psnr_db: 10·log10(1 / mean squared error),
    None where the two are equal. kl: mean Kullback–Leibler divergence of the file's answer from Keras's, in nats.
    layers: each layer's error, the worst first, where that was asked for. sha256: of the file that was run.
    """

    path: str
    scheme: str
    top1: float
    top5: float
    top1_drop: float
    agreement: float
    max_abs_error: float
    mean_abs_error: float
    psnr_db: float | None
    kl: float
    passed: bool
    reasons: tuple[str, ...]
    layers: tuple[LayerError, ...] | None = None
    sha256: str = ""

    def to_json(self) -> dict[str, Any]:
        document = {**asdict(self), "reasons": list(self.reasons)}
        if self.layers is None:
            del document["layers"]
        return document


def compare(
    path: str, scheme: str, actual: np.ndarray, expected: np.ndarray, labels: np.ndarray, limits: Limits
) -> FileVerification:
    """A file's probabilities against Keras's, both float [N, classes], labels int [N].

    An image for which the file gives NaN or infinity counts as answered wrong, with all probabilities 0, and the
    file fails. Keras's probabilities must be finite.
    """
    if actual.shape != expected.shape:
        raise ModelFileError(f"{path} gives {actual.shape[-1]} classes, the checkpoint {expected.shape[-1]}.")
    mine, reference = accuracy(actual, labels), accuracy(expected, labels)
    whole = answered(actual)
    p = expected.astype(np.float64)
    q = np.where(whole[:, np.newaxis], actual, 0.0).astype(np.float64)
    error = np.abs(q - p)
    mean_square = float(np.mean(error**2))
    floor = 1e-7
    ratio = np.clip(p, floor, None) / np.clip(q, floor, None)
    result = FileVerification(
        path=path,
        scheme=scheme,
        top1=mine.top1,
        top5=mine.top5,
        top1_drop=100 * (reference.top1 - mine.top1),
        agreement=float(np.mean(whole & (q.argmax(1) == p.argmax(1)))),
        max_abs_error=float(error.max()),
        mean_abs_error=float(error.mean()),
        psnr_db=float(-10 * np.log10(mean_square)) if mean_square > 0 else None,
        kl=float(np.mean(np.sum(np.clip(p, floor, None) * np.log(ratio), axis=1))),
        passed=True,
        reasons=(),
    )
    reasons = list(_reasons(result, limits))
    if not whole.all():
        reasons.insert(0, f"gives NaN or infinity for {np.sum(~whole)} of {len(whole)} images")
    return replace(result, passed=not reasons, reasons=tuple(reasons))


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> Accuracy:
    """probabilities: float [N, classes]; labels: int [N]. With fewer than six classes top5 is 1.

    A row with NaN or infinity is wrong, and gives its class the probability 0.
    """
    whole = answered(probabilities)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    hits = (order == labels[:, np.newaxis]) & whole[:, np.newaxis]
    chosen = np.where(whole, probabilities[np.arange(len(labels)), labels], 0.0).astype(np.float64)
    return Accuracy(
        top1=float(hits[:, 0].mean()),
        top5=float(hits.any(axis=1).mean()),
        loss=float(-np.log(np.clip(chosen, 1e-7, None)).mean()),
    )


def answered(probabilities: np.ndarray) -> np.ndarray:
    """Which rows hold nothing but numbers: bool [N]."""
    return np.asarray(np.isfinite(probabilities).all(axis=1))


def _reasons(file: FileVerification, limits: Limits) -> Iterator[str]:
    # A drop is a whole number of images; the margin only covers the rounding of 100 · k / N.
    if file.top1_drop > limits.max_drop + 1e-9:
        yield f"loses {file.top1_drop:.2f} points of top-1, more than {limits.max_drop:g}"
    if file.agreement < limits.min_agreement:
        yield f"agrees with Keras on {file.agreement:.1%}, less than {limits.min_agreement:.1%}"
    if limits.max_error is not None and file.max_abs_error > limits.max_error:
        yield f"is off by {file.max_abs_error:.2g} in a probability, more than {limits.max_error:g}"
