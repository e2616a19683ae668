"""The data set that belongs to a checkpoint."""

from __future__ import annotations

from vitconv.checkpoints.checkpoint import Checkpoint
from vitconv.data.datasets import Dataset, open_dataset
from vitconv.foundation.errors import DatasetError


def open_dataset_of(checkpoint: Checkpoint, name: str | None) -> Dataset:
    """The data set `name`, or the one that the checkpoint was trained on where it is None.

    Raises DatasetError where its classes are not the checkpoint's, in the same order.
    """
    dataset = open_dataset(name or checkpoint.card.dataset["source"])
    ours, theirs = checkpoint.card.labels, dataset.labels
    if ours == theirs:
        return dataset
    if len(ours) != len(theirs):
        what = f"{len(theirs)} classes, the checkpoint {len(ours)}"
    else:
        index = next(i for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
        what = f"{theirs[index]!r} as class {index}, the checkpoint {ours[index]!r}"
    raise DatasetError(
        f"the labels of {dataset.name} don't match those of {checkpoint.path}: the data set has {what}. "
        f"Give the data set that it was trained on ({checkpoint.card.dataset['name']})."
    )
