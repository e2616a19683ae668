"""What a checkpoint itself answers, how often it is right, and whether these images chose what is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vitconv.checkpoints.checkpoint import Checkpoint
from vitconv.data.datasets import Split
from vitconv.data.streamed import Images
from vitconv.foundation.errors import CheckpointError
from vitconv.foundation.intervals import wilson_interval
from vitconv.foundation.progress import Progress


@dataclass(frozen=True)
class Accuracy:
    """Fractions of images whose true class is the most probable one, or among the five most probable, and the
    mean cross-entropy in nats."""

    top1: float
    top5: float
    loss: float


@dataclass(frozen=True)
class Evaluation:
    """Accuracy on the images of a split, as a card's results hold it.

    split: its name, and where it comes from. digest: SHA-256 (hex) of its images and labels. The intervals hold
    the true value, on all such images, in 95 % of cases. chose_epoch: the epoch was chosen on these images, so new
    ones will be a little harder.
    """

    split: str
    digest: str
    images: int
    top1: float
    top1_interval: tuple[float, float]
    top5: float
    top5_interval: tuple[float, float]
    loss: float
    chose_epoch: bool

    @classmethod
    def of(cls, split: Split, probabilities: np.ndarray, chose_epoch: bool) -> Evaluation:
        """probabilities: the checkpoint's, float [N, classes], in the split's order."""
        measured = accuracy(probabilities, np.asarray(split.labels))
        return cls(
            split=f"{split.name} ({split.source})",
            digest=split.digest,
            images=len(split),
            top1=measured.top1,
            top1_interval=wilson_interval(measured.top1, len(split)),
            top5=measured.top5,
            top5_interval=wilson_interval(measured.top5, len(split)),
            loss=measured.loss,
            chose_epoch=chose_epoch,
        )

    def to_json(self) -> dict[str, Any]:
        intervals = {name: list(getattr(self, name)) for name in ("top1_interval", "top5_interval")}
        return {**vars(self), **intervals}


def what_chose(chose_epoch: bool) -> str:
    """What stands behind "329 images", so that a reader knows what the figure is worth."""
    return "which chose the epoch, so new ones will be a little harder" if chose_epoch else "which chose nothing"


def keras_probabilities(
    checkpoint: Checkpoint, images: Images, progress: Progress | None = None, what: str = "verifying: Keras"
) -> np.ndarray:
    """What the checkpoint itself answers: uint8 [N, H, W, 3] → float32 [N, classes].

    Raises CheckpointError where an answer is NaN or infinite.
    """
    model = checkpoint.load()
    batch = 32
    answers = []
    for start in range(0, len(images), batch):
        if progress:
            progress(what, start, len(images))
        answers.append(model.predict_on_batch(images[start : start + batch].astype(np.float32)))
    if progress:
        progress(what, len(images), len(images))
    expected: np.ndarray = np.concatenate(answers)
    if not answered(expected).all():
        raise CheckpointError(
            f"the checkpoint {checkpoint.path} gives NaN or infinity for {np.sum(~answered(expected))} of "
            f"{len(images)} images, so its weights are broken. Train again."
        )
    return expected


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
