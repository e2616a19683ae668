"""What a checkpoint itself can do: accuracy with its confidence interval, and the classes it confuses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vitconv.checkpoints.answers import Evaluation, keras_probabilities
from vitconv.checkpoints.checkpoint import Card, Checkpoint
from vitconv.checkpoints.trained_data import chose_epoch
from vitconv.data.datasets import Split
from vitconv.evaluation.evidence import confusion
from vitconv.foundation.progress import Progress


@dataclass(frozen=True, eq=False)
class Measured:
    """Keras's answers to a whole split. confusion: int64 [classes, classes], images of the row's class that were
    given the column's."""

    figures: Evaluation
    confusion: np.ndarray

    def published(self, card: Card) -> Card:
        """The card with this among its results. It names its data set by what any machine finds it by: where it
        was here is nobody's business."""
        dataset = {**card.dataset, "source": card.dataset["name"]}
        return replace(card, dataset=dataset, results={**card.results, "evaluation": self.figures.to_json()})

    def class_accuracy(self) -> np.ndarray:
        """float [classes]: fraction of each class's images that were given it; NaN where there are none."""
        totals = self.confusion.sum(axis=1)
        shares: np.ndarray = np.diag(self.confusion) / np.where(totals > 0, totals, np.nan)
        return shares


def evaluate(checkpoint: Checkpoint, split: Split, progress: Progress | None = None) -> Measured:
    """Runs Keras on every image of a split that was prepared for the checkpoint's image size."""
    probabilities = keras_probabilities(checkpoint, split.images, progress)
    figures = Evaluation.of(split, probabilities, chose_epoch(checkpoint, split))
    return Measured(figures, confusion(probabilities, np.asarray(split.labels)))
