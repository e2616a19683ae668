"""What is worth saying of a finished training: each class's accuracy, and what would go unnoticed otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitconv.checkpoints.checkpoint import Card
from vitconv.data.datasets import Dataset, Split
from vitconv.foundation.intervals import wilson_interval
from vitconv.training.card import classes_missing


@dataclass(frozen=True)
class ClassAccuracy:
    """Of the `images` of a class in the validation split, how many were given it."""

    label: str
    images: int
    right: int

    def to_json(self) -> dict[str, Any]:
        """`top1` is None where there are no images."""
        return {**vars(self), "top1": self.right / self.images if self.images else None}


def class_accuracies(
    names: tuple[str, ...], probabilities: np.ndarray, validation: Split
) -> tuple[ClassAccuracy, ...]:
    """Of the validation images, given the network's answers to them, float [N, classes]."""
    labels, answers = np.asarray(validation.labels), probabilities.argmax(axis=1)
    return tuple(
        ClassAccuracy(label, int(np.sum(labels == index)), int(np.sum((labels == index) & (answers == index))))
        for index, label in enumerate(names)
    )


def classes_of(card: Card) -> tuple[ClassAccuracy, ...]:
    """What an earlier call kept in the card."""
    found = card.results.get("classes") or ()
    return tuple(ClassAccuracy(one["label"], one["images"], one["right"]) for one in found)


def what_differs(dataset: Dataset, training: Split, validation: Split, mirrored: bool) -> Iterator[str]:
    """Sentences on what a user may not expect of the pictures: that they are not `mirrored` though the recipe says
    so, and classes that training, or the choice of the epoch, sees nothing of."""
    if not mirrored:
        yield (
            f"images are not mirrored: in {dataset.name} the mirror image of a class is another one, or none "
            "(--flip mirrors them all the same)."
        )
    for split, consequence in (
        (training, "it cannot learn them"),
        (validation, "nothing is known of its accuracy there"),
    ):
        if missing := classes_missing(dataset, split):
            shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            yield (
                f"no {split.name} picture of {dataset.name} is of {shown}: {consequence}. Each class needs two "
                "different pictures, better thirty."
            )


def no_better_than_guessing(validation: Split, results: Mapping[str, Any], flipped: bool) -> str | None:
    """A sentence where always answering the most frequent class would have been as good; else None."""
    counts = np.bincount(validation.labels)
    most = float(counts.max() / counts.sum())
    accuracy = float(results["val_accuracy"])
    if wilson_interval(accuracy, len(validation))[0] > most or accuracy == 1:
        return None
    advice = "Train longer, or with more pictures."
    if flipped:
        advice = (
            "Where a picture's mirror image is of another class (arrows, letters), train with --no-flip; else "
            "longer, or with more pictures."
        )
    return (
        f"validation accuracy is {accuracy:.1%}, and always answering the most frequent class gives {most:.1%}: "
        f"on {len(validation)} images that is no proof that anything was learnt. {advice}"
    )


def table(classes: tuple[ClassAccuracy, ...], most: int = 20) -> str:
    """The classes' validation accuracy, the worst first, one a line."""
    measured = sorted((one for one in classes if one.images), key=lambda one: (one.right / one.images, one.label))
    wide = max((len(one.label) for one in measured[:most]), default=0)
    lines = [
        f"  {one.label:{wide}}  {one.right / one.images:7.1%}  ({one.right} of {one.images})"
        for one in measured[:most]
    ]
    if len(measured) > most:
        lines.append(f"  and {len(measured) - most} more, which are better")
    lines += [f"  {one.label}: no validation picture" for one in classes if not one.images]
    return "\n".join(lines)
