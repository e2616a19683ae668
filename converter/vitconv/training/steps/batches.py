"""What a training step sees: images in an order that seed and epoch alone decide, changed at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from vitconv.data.datasets import Split
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.streamed import soon
from vitconv.models.catalogue import Recipe
from vitconv.training.steps.augmentation import augment
from vitconv.training.teacher import Teacher


def epoch_order(labels: np.ndarray, recipe: Recipe, seed: int, epoch: int) -> np.ndarray:
    """Which image comes when: int64, indices into the split whose labels, int [N], are given.

    Epochs follow each other through shuffled passes over the split. Where an epoch is a part of a pass, no image
    is seen again before every other was seen.
    """
    images = len(labels)
    an_epoch = recipe.images_an_epoch(images)
    first = epoch * an_epoch
    passes = range(first // images, (first + an_epoch - 1) // images + 1)
    order: np.ndarray = np.concatenate([_pass(labels, recipe, seed, number) for number in passes])
    start = first - passes[0] * images
    return order[start : start + an_epoch]


def _pass(labels: np.ndarray, recipe: Recipe, seed: int, number: int) -> np.ndarray:
    """A pass over the split: int64 [N]. Every image once; with `recipe.balance` as many of every class, to one, of
    which a rare class's are seen several times and a frequent one's not all."""
    rng = np.random.default_rng((seed, number))
    if not recipe.balance:
        return rng.permutation(len(labels))
    classes = rng.permutation(np.unique(labels))
    chosen = []
    for place, label in enumerate(classes):
        members = np.flatnonzero(labels == label)
        wanted = len(labels) // len(classes) + (place < len(labels) % len(classes))
        rounds = [rng.permutation(members) for _ in range(-(-wanted // len(members)))]
        chosen.append(np.concatenate([*rounds, members[:0]])[:wanted])
    return rng.permutation(np.concatenate(chosen))


def training_batches(
    training: Split, spec: ImageSpec, recipe: Recipe, seed: int, classes: int, teacher: Teacher | None = None
) -> Any:
    """A keras.utils.PyDataset of one epoch; `starter` tells it which."""
    import keras

    class Batches(keras.utils.PyDataset):
        """Shuffled and augmented batches, each a function of (seed, epoch, index) alone."""

        def __init__(self) -> None:
            super().__init__()
            self.start(0)

        def start(self, epoch: int) -> None:
            self.epoch = epoch
            self.order = epoch_order(training.labels, recipe, seed, epoch)

        def __len__(self) -> int:
            return recipe.steps_an_epoch(len(training))

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            rng = np.random.default_rng((seed, self.epoch, index))
            chosen = self._chosen(index)
            taken = training.images[chosen]
            soon(training.images, self._chosen(index + 1))  # while this batch is changed and learnt from
            images = augment(taken, spec.height, spec.width, recipe, rng)
            labels = np.eye(classes, dtype=np.float32)[training.labels[chosen]]
            return images, labels if teacher is None else teacher.targets(images, labels)

        def _chosen(self, index: int) -> np.ndarray:
            chosen: np.ndarray = self.order[index * recipe.batch_size : (index + 1) * recipe.batch_size]
            return chosen

    return Batches()


def starter(batches: Any) -> Any:
    """A callback that tells the batches which epoch begins. Keras's own calls do not say which epoch it is, and
    there are more of them than epochs."""
    import keras

    return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.start(epoch))


def validation_batches(split: Split, batch_size: int, classes: int) -> Any:
    """A keras.utils.PyDataset of the split as it is, in its order."""
    import keras

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return -(-len(split) // batch_size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            part = slice(index * batch_size, (index + 1) * batch_size)
            images = split.images[part]
            soon(split.images, slice(part.stop, part.stop + batch_size))
            return images.astype(np.float32), np.eye(classes, dtype=np.float32)[split.labels[part]]

    return Batches()
