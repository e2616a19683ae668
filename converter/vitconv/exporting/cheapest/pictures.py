"""Which images a search for the cheapest file asks: never held-out ones, in the order in which they can decide."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vitconv.classifiers.float_model import FloatModel
from vitconv.data.datasets import Dataset
from vitconv.foundation.errors import InputError
from vitconv.foundation.progress import Progress
from vitconv.quantization.choosing import choose_images, digests_of

# Of the float network for all images together: 2,600 images of MobileViT, a minute on two cores.
_INSTRUCTIONS = 1.2e12
_FEWEST, _MOST = 200, 10_000
_TOO_FEW = 50  # say nothing about a limit
_SEED = 1  # not calibration's: other images, where there are others


@dataclass(frozen=True, eq=False)
class Pictures:
    """images: uint8 [N, H, W, 3], the one first of which the float network is least sure. answers: its
    probabilities, float64 [N, classes]. labels: int64 [N], which mean nothing where not `labelled`. sources: the
    splits, in words."""

    images: NDArray[np.uint8] = field(repr=False)
    answers: NDArray[np.float64] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    labelled: bool
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)


def choose_pictures(
    model: FloatModel, dataset: Dataset, instructions: float, progress: Progress | None = None
) -> Pictures:
    """Images of the validation split, where that is not the one that accuracy is reported on, then of the training
    split. The fewer there are, the more `instructions` the float network takes for one.

    Raises InputError where there are too few.
    """
    wanted = int(min(max(_INSTRUCTIONS / max(instructions, 1.0), _FEWEST), _MOST))
    held_out = digests_of(dataset.split(dataset.evaluation_name, model.image, progress).images)
    images: list[NDArray[np.uint8]] = []
    labels: list[NDArray[np.int64]] = []
    sources: list[str] = []
    for name in ("validation", "train"):
        left = wanted - sum(map(len, images))
        if name not in dataset.split_names or name == dataset.evaluation_name or not left:
            continue
        split = dataset.split(name, model.image, progress)
        chosen = np.array(choose_images(split, left, _SEED, held_out), np.int64)
        if len(chosen):
            images.append(np.asarray(split.images[chosen]))
            labels.append(np.asarray(split.labels, np.int64)[chosen])
            sources.append(f"{split.name} ({split.source})")
    count = sum(map(len, images))
    if count < _TOO_FEW:
        raise InputError(
            f"--max-drop needs at least {_TOO_FEW} images that accuracy is not reported on, and {dataset.name} "
            f"has {count}. Give another data set (--dataset)."
        )
    pixels = np.concatenate(images)
    return ordered(pixels, model.predict(pixels, progress), np.concatenate(labels), dataset.labelled, sources)


def ordered(
    images: NDArray[np.uint8],
    answers: NDArray[np.floating],
    labels: NDArray[np.int64],
    labelled: bool,
    sources: list[str],
) -> Pictures:
    """The same pictures, the least sure answer first."""
    two = np.sort(answers.astype(np.float64), axis=1)[:, -2:]
    order = np.argsort(two[:, 1] / np.maximum(two[:, 0], 1e-30), kind="stable")
    return Pictures(images[order], answers[order].astype(np.float64), labels[order], labelled, tuple(sources))
