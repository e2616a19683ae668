"""A file's probabilities beside Keras's for the same images: accuracy, agreement, errors, a scheme's limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from vitconv.checkpoints.answers import accuracy, answered
from vitconv.conversion.schemes import Limits
from vitconv.evaluation.layer_errors import LayerError
from vitconv.foundation.errors import ModelFileError
from vitconv.foundation.judgement import Interval, Judgement, judge_agreement, judge_lost

Verdict = Literal["passed", "failed", "unsure"]
VERDICTS: dict[Verdict, str] = {"passed": "passed", "failed": "failed", "unsure": "cannot tell"}  # in words


@dataclass(frozen=True)
class FileVerification:
    """One file against Keras on the same images.

    top1_drop: accuracy lost, in percentage points (negative: gained): Keras alone names the true class of `lost`
    images, the file alone of `gained`. agreement: fraction of images with the same first class. In 95 % of cases
    the intervals hold what these two are on all such images, see `judgement`. max_abs_error, mean_abs_error: of
    the probabilities. psnr_db: 10·log10(1 / mean squared error), None where the two are equal. kl: mean
    Kullback–Leibler divergence of the file's answer from Keras's, in nats.
    layers: each layer's error, the worst first, where that was asked for. sha256: of the file that was run.

    reasons: what is shown to be wrong; the file then fails. doubts: limits of which these images cannot tell.
    enough: about the number of images that would settle all doubts; None where there are none, or no number would.
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
    lost: int
    gained: int
    top1_drop_interval: Interval
    agreement_interval: Interval
    reasons: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    enough: int | None = None
    layers: tuple[LayerError, ...] | None = None
    sha256: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is shown to be wrong."""
        return not self.reasons

    @property
    def verdict(self) -> Verdict:
        """ "passed" where every limit is shown to be kept."""
        return "failed" if self.reasons else "unsure" if self.doubts else "passed"

    def to_json(self) -> dict[str, Any]:
        document = {
            **asdict(self),
            "verdict": self.verdict,
            "passed": self.passed,
            "reasons": list(self.reasons),
            "doubts": list(self.doubts),
            "top1_drop_interval": list(self.top1_drop_interval),
            "agreement_interval": list(self.agreement_interval),
        }
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
    mine_right, reference_right = right(actual, labels), right(expected, labels)
    agreeing = whole & (q.argmax(1) == p.argmax(1))
    images, lost = len(labels), int(np.sum(reference_right & ~mine_right))
    gained = int(np.sum(mine_right & ~reference_right))
    fewer = judge_lost(lost, gained, images, limits.max_drop / 100)
    same = judge_agreement(int(agreeing.sum()), images, limits.min_agreement)
    result = FileVerification(
        path=path,
        scheme=scheme,
        top1=mine.top1,
        top5=mine.top5,
        top1_drop=100 * (reference.top1 - mine.top1),
        agreement=float(agreeing.mean()),
        max_abs_error=float(error.max()),
        mean_abs_error=float(error.mean()),
        psnr_db=float(-10 * np.log10(mean_square)) if mean_square > 0 else None,
        kl=float(np.mean(np.sum(np.clip(p, floor, None) * np.log(ratio), axis=1))),
        lost=lost,
        gained=gained,
        top1_drop_interval=(100 * fewer.interval[0], 100 * fewer.interval[1]),
        agreement_interval=same.interval,
    )
    reasons = list(_reasons(result, limits, fewer, same))
    if not whole.all():
        reasons.insert(0, f"gives NaN or infinity for {np.sum(~whole)} of {len(whole)} images")
    # Where nothing is rounded, every image counts, and what agrees on all of them loses nothing.
    unsure = () if limits.exact else tuple(one for one in (fewer, same) if one.shown == "unsure")
    doubts = tuple(_doubts(result, limits, fewer, same)) if unsure else ()
    enough = [one.enough for one in unsure if one.enough]
    return replace(
        result,
        reasons=tuple(reasons),
        doubts=doubts,
        enough=max(enough) if len(enough) == len(unsure) > 0 else None,
    )


def right(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of which images the true class is the most probable one: bool [N]."""
    return np.asarray(answered(probabilities) & (probabilities.argmax(1) == labels))


def _reasons(file: FileVerification, limits: Limits, fewer: Judgement, same: Judgement) -> Iterator[str]:
    if fewer.shown == "broken":
        yield f"loses {file.top1_drop:.2f} points of top-1 ({_points(file)}), more than {limits.max_drop:g}"
    if same.shown == "broken":
        yield f"agrees with Keras on {file.agreement:.1%} ({_shares(file)}), less than {limits.min_agreement:.1%}"
    if limits.max_error is not None and file.max_abs_error > limits.max_error:
        yield f"is off by {file.max_abs_error:.2g} in a probability, more than {limits.max_error:g}"


def _doubts(file: FileVerification, limits: Limits, fewer: Judgement, same: Judgement) -> Iterator[str]:
    if fewer.shown == "unsure":
        yield f"loses more than {limits.max_drop:g} points of top-1 ({_points(file)}){_more_images(fewer)}"
    if same.shown == "unsure":
        yield f"agrees with Keras on less than {limits.min_agreement:.1%} ({_shares(file)}){_more_images(same)}"


def _points(file: FileVerification) -> str:
    low, high = file.top1_drop_interval
    return f"95 % interval {low:.2f} to {high:.2f}"


def _shares(file: FileVerification) -> str:
    low, high = file.agreement_interval
    return f"95 % interval {low:.1%} to {high:.1%}"


def _more_images(judgement: Judgement) -> str:
    if judgement.enough is None:
        return ", and no number of images would tell: it is at its limit"
    return f"; use at least {judgement.enough}"
