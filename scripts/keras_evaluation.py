"""What a checkpoint itself can do: accuracy with its confidence interval, and the classes it confuses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitconv.checkpoints.checkpoint import Card, Checkpoint
from vitconv.data.datasets import Split
from vitconv.evaluation.evidence import confusion
from vitconv.evaluation.parity import accuracy
from vitconv.evaluation.verification import keras_probabilities
from vitconv.foundation.intervals import wilson_interval
from vitconv.foundation.progress import Progress


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Keras's answers to a whole split.

    top1, top5: fractions of the images, each with its 95 % interval. loss: mean cross-entropy in nats. confusion:
    int64 [classes, classes], images of the row's class that were given the column's.
    """

    split: str
    digest: str
    images: int
    top1: float
    top1_interval: tuple[float, float]
    top5: float
    top5_interval: tuple[float, float]
    loss: float
    confusion: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """All but the confusion matrix, as a card's results hold it."""
        values = {name: value for name, value in vars(self).items() if name != "confusion"}
        return {**values, "top1_interval": list(self.top1_interval), "top5_interval": list(self.top5_interval)}

    def published(self, card: Card) -> Card:
        """The card with this among its results. It names its data set by what any machine finds it by: where it
        was here is nobody's business."""
        dataset = {**card.dataset, "source": card.dataset["name"]}
        return replace(card, dataset=dataset, results={**card.results, "evaluation": self.to_json()})

    def class_accuracy(self) -> np.ndarray:
        """float [classes]: fraction of each class's images that were given it; NaN where there are none."""
        totals = self.confusion.sum(axis=1)
        shares: np.ndarray = np.diag(self.confusion) / np.where(totals > 0, totals, np.nan)
        return shares


def evaluate(checkpoint: Checkpoint, split: Split, progress: Progress | None = None) -> Evaluation:
    """Runs Keras on every image of a split that was prepared for the checkpoint's image size."""
    labels = np.asarray(split.labels)
    probabilities = keras_probabilities(checkpoint, split.images, progress)
    measured = accuracy(probabilities, labels)
    return Evaluation(
        split=f"{split.name} ({split.source})",
        digest=split.digest,
        images=len(split),
        top1=measured.top1,
        top1_interval=wilson_interval(measured.top1, len(split)),
        top5=measured.top5,
        top5_interval=wilson_interval(measured.top5, len(split)),
        loss=measured.loss,
        confusion=confusion(probabilities, labels),
    )
