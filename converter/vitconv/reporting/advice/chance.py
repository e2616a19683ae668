"""What a network reaches that has learnt nothing: a report must not recommend one that cannot be told from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vitconv.reporting.findings import Export, Reference, Verified


@dataclass(frozen=True)
class Chance:
    """The accuracy of guessing, 0 to 1, and how it is reached, in words."""

    accuracy: float
    how: str

    def reaches(self, measured: Reference | Verified) -> bool:
        """Whether the measured top-1 may be mere guessing: its 95 % interval begins at or below that accuracy."""
        return measured.top1_interval[0] <= self.accuracy

    def sentence(self, whose: str, measured: Reference | Verified) -> str:
        low, high = measured.top1_interval
        return (
            f"{whose} cannot be told from guessing: its top-1 is {measured.top1:.1%} (95 % confidence: {low:.1%} "
            f"to {high:.1%}), and {self.how} gives {self.accuracy:.1%}."
        )


def chance(export: Export, reference: Reference) -> Chance:
    """The better one of drawing lots and of always naming the class that most of the verified images have; the
    first where an older version kept no confusion matrix."""
    classes = len(export.labels)
    lots = Chance(1 / classes, f"drawing lots among {classes} classes")
    if reference.confusion is None:
        return lots
    images = reference.confusion.sum(axis=1)
    most = int(np.argmax(images))
    majority = Chance(float(images[most] / reference.examples), f'always answering "{export.label(most)}"')
    return max(lots, majority, key=lambda one: one.accuracy)
