"""The data set that belongs to a checkpoint, compared with what the checkpoint was trained on."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vitconv.checkpoints.checkpoint import Checkpoint
from vitconv.checkpoints.pictures import SeenPictures
from vitconv.data import cuts
from vitconv.data.datasets import Dataset, Split, is_folder_name, open_dataset
from vitconv.data.spellings import folded
from vitconv.foundation.errors import DatasetError
from vitconv.foundation.progress import Progress

logger = logging.getLogger("vitconv")


def open_dataset_of(checkpoint: Checkpoint, name: str | None, progress: Progress | None = None) -> Dataset:
    """The data set `name`, or the one that the checkpoint was trained on where it is None, cut as it was then.

    Its classes are brought into the checkpoint's order; it may lack some. Pictures that the checkpoint was trained
    on are in no split that is evaluated. What has changed since then goes to the logger "vitconv". Raises
    DatasetError for another data set in the place of the checkpoint's, and for classes that it does not know.
    """
    card = checkpoint.card.dataset
    source = card["source"] if name is None else name
    if name is None and is_folder_name(source) and not Path(source).expanduser().is_dir():
        raise DatasetError(
            f"{checkpoint.path} was trained on the pictures in {source}, which is not there"
            f"{'' if os.path.isabs(source) else f' (looked for from {Path.cwd()})'}. "  # noqa: PTH117  a name
            "Say with --dataset where they are now."
        )
    dataset = open_dataset(source, _cut(checkpoint, source), progress)
    labels = _labels(checkpoint, dataset)
    seen = SeenPictures.of(checkpoint)
    if seen is None:
        _compare_counts(checkpoint, dataset)
        return dataset.for_evaluation(labels, np.zeros(0, np.uint64))
    if card.get("identity") != dataset.identity:
        _compare(checkpoint, dataset, labels, seen, name is None, progress)
    return dataset.for_evaluation(labels, seen.trained)


def chose_epoch(checkpoint: Checkpoint, split: Split) -> bool:
    """Whether the checkpoint's epoch was chosen on pictures of that split, of what `open_dataset_of` gave."""
    seen = SeenPictures.of(checkpoint)
    if seen is not None and len(split.pictures):
        return bool(np.isin(split.pictures, seen.chose).any())
    validation = _split(checkpoint.card.dataset, "validation")
    # Another machine may decode a picture a little differently: then the place tells.
    same_place = split.name == "validation" and split.source == validation.get("source")
    return same_place or split.digest == validation.get("digest")


def _cut(checkpoint: Checkpoint, source: str) -> str | None:
    """How the data set was cut when the checkpoint was trained; None where it is another, or came in splits."""
    card = checkpoint.card.dataset
    cut = card.get("cut")
    if "cut" not in card:  # of a version that cut by position
        validation = str(_split(card, "validation").get("source", ""))
        cut = cuts.ARTICLE if "[90%:]" in validation else None
        if "(seed 0)" in validation and is_folder_name(source):
            raise DatasetError(
                f"{checkpoint.path} was trained by a version that divided {source} by the pictures' places in the "
                "listing: which it was trained on cannot be told any more. Train anew, or give --dataset with "
                "pictures that it has not seen, in a folder called test."
            )
    if source == card["source"]:
        return cut
    return cut if is_folder_name(source) and cut in (cuts.THREE_WAY, cuts.TWO_WAY) else None


def _labels(checkpoint: Checkpoint, dataset: Dataset) -> tuple[str, ...]:
    """The checkpoint's labels, where the data set has no others."""
    known = checkpoint.card.labels
    strange = [label for label in dataset.labels if label not in known]
    if not strange:
        missing = [label for label in known if label not in dataset.labels]
        if missing:
            shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            logger.warning(f"{dataset.name} has no pictures of {shown}: nothing is measured of them.")
        return known
    close = next((label for label in known if folded(label) == folded(strange[0])), None)
    hint = f" (its {close!r} is spelt otherwise)" if close else ""
    raise DatasetError(
        f"the labels of {dataset.name} don't match those of {checkpoint.path}: the data set has "
        f"{len(dataset.labels)} classes, the checkpoint {len(known)}, and {strange[0]!r} is none of those{hint}. "
        f"Give the data set that it was trained on ({checkpoint.card.dataset['name']}), or pictures of its "
        "classes."
    )


def _compare(
    checkpoint: Checkpoint,
    dataset: Dataset,
    labels: tuple[str, ...],
    seen: SeenPictures,
    own: bool,
    progress: Progress | None,
) -> None:
    """Says what has changed. `own` is whether it should be the data set that the checkpoint was trained on."""
    place = np.array([labels.index(label) for label in dataset.labels], np.int64)
    now = {split: (keys, place[ids]) for split, (keys, ids) in dataset.pictures(progress).items()}
    if not seen.has_any_of(now):
        if own:
            raise DatasetError(
                f"none of the pictures that {checkpoint.path} was trained on is in {dataset.opened_by}: it is "
                "another data set. Say with --dataset where they are, or which others of its classes to take."
            )
        return
    if found := seen.changes(now):
        logger.warning(
            f"{dataset.name} is not as it was when {checkpoint.path} was trained ({'; '.join(found)}). Pictures "
            "that it was trained on are not evaluated."
        )


def _compare_counts(checkpoint: Checkpoint, dataset: Dataset) -> None:
    """For a checkpoint that does not say which pictures it has seen."""
    card, counts = checkpoint.card.dataset, dataset.counts()
    if dataset.opened_by != card["source"]:
        return
    found = [
        f"{split} had {images}, now {counts[split]}"
        for split in ("train", "validation")
        if split in counts and (images := _split(card, split).get("images", counts[split])) != counts[split]
    ]
    if found:
        logger.warning(
            f"{dataset.name} is not as it was when {checkpoint.path} was trained ({'; '.join(found)}), and the "
            "checkpoint does not say which pictures it has seen: some may now be evaluated."
        )


def _split(card: Mapping[str, Any], split: str) -> Mapping[str, Any]:
    splits = card.get("splits")
    found = splits.get(split) if isinstance(splits, Mapping) else None
    return found if isinstance(found, Mapping) else {}
