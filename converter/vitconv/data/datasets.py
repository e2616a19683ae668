"""A name → splits of images prepared for a model, with labels.

A name is `digits` (scikit-learn's handwritten digits), any TensorFlow Datasets name with an image and a label
(`tf_flowers`, `cifar100`), or the path of a folder of class folders.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.data import digits
from vitconv.data.content import Keys
from vitconv.data.cuts import check_cut
from vitconv.data.folders.labelled import read_image_folder
from vitconv.data.folders.unlabelled import read_pictures
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.prepared import digest_of, prepare, source_digest
from vitconv.data.sources import Part, Source
from vitconv.data.streamed import LIMIT, Images, StreamedImages, limit_bytes
from vitconv.data.tfds import source as tfds
from vitconv.data.tfds.records import first_line
from vitconv.foundation.errors import DatasetError, UnknownNameError
from vitconv.foundation.progress import Progress

logger = logging.getLogger("vitconv")


@dataclass(frozen=True, eq=False)
class Split:
    """Images as a model takes them, and their classes.

    `images`: uint8 [N, H, W, 3], 0–255 RGB, read-only: mostly a memory map, and decoded row by row where that
    would be too large (see `streamed`). `labels`: int64 [N], indices into the data set's labels. `source` says
    where they come from, like "train[:90%]". `pictures`: uint64 [N], the key of each picture's content (see
    `content.picture_key`), the same at any image size; empty where nobody knows.
    """

    name: str
    source: str
    images: Images
    labels: NDArray[np.int64]
    known_digest: str | None = field(default=None, repr=False)
    pictures: Keys = field(default_factory=lambda: np.zeros(0, np.uint64), repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over the images and labels; of streamed images over what they are made from."""
        return self.known_digest or digest_of(self.images, self.labels)

    def without(self, pictures: Keys) -> Split:
        """All but the pictures with these keys."""
        kept = ~np.isin(self.pictures, pictures)
        if kept.all():
            return self
        if isinstance(self.images, StreamedImages):
            images: Images = self.images.only(np.flatnonzero(kept))
        else:
            images = self.images[kept]
            images.setflags(write=False)
        return Split(self.name, self.source, images, self.labels[kept], pictures=self.pictures[kept])


class Dataset:
    """A data set whose splits are known; a split's images are decoded when it is first asked for.

    `labels` are the class names in label order, `split_names` the splits there are, in the order train,
    validation, test. `mirrored_keeps_label` is False where a picture's mirror image is something else, as
    with digits. `opened_by` is what opens it again from anywhere, `cut` how it was divided (see `cuts.CUTS`;
    None where it came divided). Made by `open_dataset`.
    """

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.version = source.version
        self.labels = source.labels
        self.split_names = tuple(source.parts)
        self.mirrored_keeps_label = source.mirrored_keeps_label
        self.opened_by = source.opened_by
        self.cut = source.cut
        self._source = source
        self._never_evaluated = np.zeros(0, np.uint64)

    @property
    def labelled(self) -> bool:
        """Whether its pictures have classes. Without them every label is 0 and means nothing."""
        return bool(self._source.labels)

    @property
    def evaluation_name(self) -> str:
        """The split to report results on: "test" where there is one, else "validation"."""
        return "test" if "test" in self.split_names else "validation"

    @property
    def identity(self) -> str:
        """A short digest of which pictures are in which split; no more of them are looked at for it."""
        parts = {name: dict(part.identity) for name, part in self._source.parts.items()}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def counts(self) -> dict[str, int]:
        """How many pictures each split has."""
        return {name: part.count for name, part in self._source.parts.items()}

    def split(self, name: str, spec: ImageSpec, progress: Progress | None = None) -> Split:
        """The split's images as `spec` prepares them, from the cache where they were prepared before.

        Raises UnknownNameError for a split that is not in `split_names`, DatasetError that lists the pictures that
        cannot be read, OutputError where the cache cannot be written.
        """
        part = self._source.parts.get(name)
        if part is None:
            raise UnknownNameError(f"split of {self.name}", name, self.split_names)
        split = self._streamed(name, part, spec, progress) or self._prepared(name, part, spec, progress)
        if self.labelled and self.labels != self._source.labels:
            place = np.array([self.labels.index(label) for label in self._source.labels], np.int64)
            labels = place[split.labels]
            streamed = isinstance(split.images, StreamedImages)
            digest = source_digest(part, spec, labels) if streamed else None
            split = replace(split, labels=labels, known_digest=digest)
        if name == "train":
            return split
        left = split.without(self._never_evaluated)
        if not len(left):
            raise DatasetError(
                f"all {len(split)} pictures of {self.name} {name} ({part.source}) are ones that the checkpoint "
                "was trained on: nothing can be measured on them. Give pictures that it has not seen."
            )
        return left

    def _prepared(self, name: str, part: Part, spec: ImageSpec, progress: Progress | None) -> Split:
        done = prepare(self.name, name, self._source.parts, spec, progress)
        return Split(name, part.source, done.images, done.labels, done.digest, done.pictures)

    def _streamed(self, name: str, part: Part, spec: ImageSpec, progress: Progress | None) -> Split | None:
        """None for a split that is not too large to be prepared, or cannot be read otherwise."""
        size, limit = part.count * math.prod(spec.shape), limit_bytes()
        if part.at is None or size <= limit:
            return None
        logger.info(
            f"{self.name} {name} would take {size / 1e9:.1f} GB prepared, more than the {limit / 1e9:g} GB of "
            f"{LIMIT}: its pictures are decoded whenever they are needed."
        )
        keys, labels = part.keys(progress)
        images = StreamedImages(part.at(progress), np.arange(part.count), spec)
        return Split(name, part.source, images, labels, source_digest(part, spec, labels), keys)

    def pictures(self, progress: Progress | None = None) -> dict[str, tuple[Keys, NDArray[np.int64]]]:
        """split → the keys and labels of its pictures, in the data set's own labels; nothing is decoded."""
        return {name: part.keys(progress) for name, part in self._source.parts.items()}

    def for_evaluation(self, labels: tuple[str, ...], never_evaluated: Keys) -> Dataset:
        """The same pictures under `labels`, which must have all the data set's own, perhaps in another order, and
        without those that are never to be evaluated, in all splits but train."""
        other = Dataset(self._source)
        other.labels = labels
        other._never_evaluated = never_evaluated
        return other


def open_dataset(name: str, cut: str | None = None, progress: Progress | None = None) -> Dataset:
    """Finds the data set; a TensorFlow data set that is not on this machine yet is downloaded.

    A plain name that TensorFlow Datasets knows is that data set even where a folder is called the same;
    `./name` is always the folder. What has no validation or test split is divided by its pictures' content, or as
    `cut` says, one of `cuts.CUTS`. What a user should know of it goes to the logger "vitconv".
    Raises UnknownNameError or DatasetError.
    """
    source = _read(name, cut, progress)
    if source.summary:
        logger.info(source.summary)
    for note in source.notes:
        logger.warning(note)
    return Dataset(source)


def labels_of(name: str, progress: Progress | None = None) -> tuple[str, ...]:
    """The labels of a data set that is opened later. Raises UnknownNameError or DatasetError."""
    return _read(name, None, progress).labels


def _read(name: str, cut: str | None, progress: Progress | None) -> Source:
    check_cut(cut)
    if not name.strip():
        raise DatasetError(
            "the name of the data set is empty. Give digits, a tfds name or a folder (. for this one)."
        )
    if name == digits.NAME:
        return digits.read_digits(cut)
    if is_folder_name(name):
        return read_image_folder(_expanded(name), cut, progress)
    return tfds.read_tfds(name, cut, progress)


def open_pictures(root: Path, progress: Progress | None = None) -> Dataset:
    """A folder of pictures without classes, see `Dataset.labelled`. Raises DatasetError."""
    source = read_pictures(_expanded(str(root)), progress)
    logger.info(source.summary)
    for note in source.notes:
        logger.warning(note)
    return Dataset(source)


def is_here(name: str) -> bool:
    """Whether `open_dataset` finds that name without a download."""
    if name == digits.NAME:
        return True
    if not name.strip() or is_folder_name(name):
        return _is_folder(os.path.expanduser(name))  # noqa: PTH111  leaves an unknown user's ~ as it is
    try:
        return bool(tfds.find_builder(name).is_prepared())
    except (DatasetError, UnknownNameError):
        return False


def available() -> list[dict[str, Any]]:
    """The data sets that need no download: `digits`, and the prepared ones in TensorFlow Datasets' folder.

    Each is {"name": str, "version": str, "classes": int, "splits": {split: number of examples}}.
    """
    rows = [_row(digits.read_digits())]
    for name in tfds.prepared_names():
        try:
            builder = tfds.find_builder(name)
            if builder.is_prepared():
                rows.append(_row(tfds.from_builder(name, builder)))
        except (DatasetError, UnknownNameError):
            continue
    return rows


def _row(source: Source) -> dict[str, Any]:
    return {
        "name": source.name,
        "version": source.version,
        "classes": len(source.labels),
        "splits": {name: part.count for name, part in source.parts.items()},
    }


def is_folder_name(name: str) -> bool:
    """Whether `open_dataset` looks for a folder of that name, which may not be there."""
    return name[0] in "./~" or os.path.isabs(name) or (_is_folder(name) and not tfds.is_name(name))  # noqa: PTH117


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except (OSError, ValueError):  # too long for a path, in a place that may not be looked into, a zero byte
        return False


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise DatasetError(f"{name} cannot be found: {first_line(error)}. Give the folder's full path.") from error
