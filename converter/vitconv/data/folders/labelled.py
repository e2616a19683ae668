"""A folder of class folders as a data set: `photos/rose/1.jpg`, or `photos/train/rose/1.jpg` and so on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitconv.data import content, cuts
from vitconv.data.content import Keys
from vitconv.data.folders.file_keys import file_keys
from vitconv.data.folders.layout import SPLITS, Layout, read_layout
from vitconv.data.folders.listing import Listing, PictureFile, list_pictures, named
from vitconv.data.pictures.images import open_picture
from vitconv.data.sources import Example, Part, Source
from vitconv.data.spellings import has_mirrored_classes
from vitconv.foundation.errors import DatasetError
from vitconv.foundation.progress import Progress


def read_image_folder(root: Path, cut: str | None = None, progress: Progress | None = None) -> Source:
    """Lists the pictures, reads their bytes where they are new, and divides them; nothing is decoded.

    Splits that there are no folders for are cut out of the training pictures by their content, as `cut` says (see
    `content`). A picture that is in a later split, too (train, validation, test), is left out of the earlier one;
    one that is in two classes, of both. Pictures of a split are in the order of their keys. Raises DatasetError.
    """
    try:
        return _read(root, cut, progress)
    except OSError as error:
        raise DatasetError(f"cannot read the folder {root}: {error}. Check its permissions.") from error


def _read(root: Path, cut: str | None, progress: Progress | None) -> Source:
    if not root.is_dir():
        problem = "is a file, not a folder" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {problem}. Give a folder of class folders, like {root}/rose/1.jpg.")
    place = absolute(root)
    if cut == cuts.ARTICLE:
        raise DatasetError(
            f"{root} is a folder: the cut {cut!r} is of TensorFlow's data sets. Choose three-way or two-way."
        )
    listing = list_pictures(root)
    layout = read_layout(listing)
    files = [file for file, _, _ in layout.pictures]
    divided = _Divided(root, layout, file_keys(root, files, progress), cut)
    parts = {}
    for split in (split for split in SPLITS if split in divided.indices):
        chosen = divided.indices[split]
        if not len(chosen):
            raise DatasetError(f"no picture is left for the {split} split of {root}. Add different pictures.")
        chosen = chosen[np.argsort(divided.keys[chosen], kind="stable")]
        parts[split] = picture_part(
            [files[index] for index in chosen],
            divided.keys[chosen],
            divided.labels[chosen],
            source=divided.sources[split],
            place=f"{place}:{split}:{divided.cut}",
        )
    everything = np.lexsort((divided.labels, divided.keys))
    version = content.digest_of_pictures(divided.keys[everything], divided.labels[everything])[:12]
    notes = (*divided.notes, *layout.notes, *left_out(listing))
    return Source(
        name=Path(place).name,
        version=version,
        labels=layout.labels,
        parts=parts,
        opened_by=place,
        mirrored_keeps_label=not has_mirrored_classes(layout.labels),
        cut=divided.cut,
        notes=tuple(f"{root}: {note}" for note in notes),
        summary=_summary(root, layout, parts),
    )


class _Divided:
    """The pictures of a layout in splits: `indices` into them by split, and where each split comes from."""

    def __init__(self, root: Path, layout: Layout, keys: Keys, cut: str | None) -> None:
        self.keys = keys
        self.labels = np.array([label for _, _, label in layout.pictures], np.int64)
        self._names = [file.relative for file, _, _ in layout.pictures]
        self.notes: list[str] = []
        given = np.array([SPLITS.index(split) for _, split, _ in layout.pictures], np.int64)
        torn = content.under_two_labels(keys, self.labels)
        if torn.any():
            self.notes.append(
                f"{torn.sum()} pictures were left out, because exact copies of them are in another class: "
                f"{self._shown(np.flatnonzero(torn))}."
            )
        left = ~torn
        for later in (2, 1):  # copies in test and validation would make results there look too good
            copies = left & (given < later) & np.isin(keys, keys[left & (given == later)])
            if copies.any():
                self.notes.append(
                    f"{copies.sum()} pictures were left out of earlier splits, because the {SPLITS[later]} split "
                    f"has exact copies of them: {self._shown(np.flatnonzero(copies))}."
                )
                left &= ~copies
        self.indices = {split: np.flatnonzero(left & (given == SPLITS.index(split))) for split in layout.own}
        self.sources = {split: f"{folder} folder" for split, folder in layout.own.items()}
        self.cut: str | None = None
        if not layout.own or "train" in layout.own:
            self._cut(layout, np.flatnonzero(left & (given == 0)), cut)
        empty = [name for label, name in enumerate(layout.labels) if not left[self.labels == label].any()]
        if empty:
            raise DatasetError(f"{root}: no picture is left of {named(empty[:5], len(empty))}. {self.notes[0]}")

    def _cut(self, layout: Layout, pool: NDArray[np.int64], cut: str | None) -> None:
        """Cuts what the layout lacks out of the training pictures, `pool`."""
        own = set(layout.own) & {"validation", "test"}
        keys, labels = self.keys[pool], self.labels[pool]
        made = content.splits_to_cut(own, cut, keys, labels) if len(pool) else frozenset()
        where = f" in {layout.own['train']}" if layout.own else ""
        for split, indices in content.divide(keys, labels, made).items():
            self.indices[split] = pool[indices]
            if made:
                self.sources[split] = f"{len(indices)} of {len(pool)}{where} (by content)"
        if "test" in made and not len(self.indices["test"]):
            del self.indices["test"]
            made -= {"test"}
        self.cut = content.name_of_cut(made)
        if "test" not in self.indices:
            self.notes.append(
                f"there is no test split (one is made from {content.LEAST_FOR_TEST} pictures a class upwards, or "
                "with the cut three-way): accuracy will be of the images that chose the epoch, a little too good."
            )

    def _shown(self, indices: NDArray[np.int64]) -> str:
        return named([self._names[index] for index in indices[:6]], len(indices))


def picture_part(
    files: Sequence[PictureFile], keys: Keys, labels: NDArray[np.int64], *, source: str, place: str
) -> Part:
    """One split, of files whose keys and labels are given in the same order. `source` says for people where it
    comes from, `place` tells it from other splits in the cache."""
    return Part(
        source=source,
        count=len(files),
        identity={"pictures": content.digest_of_pictures(keys, labels)},
        examples=partial(_examples, files, keys, labels),
        keys=partial(_known, keys, labels),
        at=partial(_finder, files, keys, labels),
        place=place,
    )


def _examples(files: Sequence[PictureFile], keys: Keys, labels: NDArray[np.int64]) -> Iterator[Example]:
    return map(_finder(files, keys, labels, None), range(len(files)))


def _finder(
    files: Sequence[PictureFile], keys: Keys, labels: NDArray[np.int64], progress: Progress | None
) -> Callable[[int], Example]:
    def at(place: int) -> Example:
        file, remedy = files[place], "Remove it, or put a readable picture in its place."
        return Example(
            partial(open_picture, file.path), int(labels[place]), str(file.path), remedy, int(keys[place])
        )

    return at


def _known(keys: Keys, labels: NDArray[np.int64], progress: Progress | None) -> tuple[Keys, NDArray[np.int64]]:
    return keys, labels


def absolute(root: Path) -> str:
    """What opens the folder again from anywhere."""
    place = str(root.resolve())
    try:
        place.encode("utf-8")
    except UnicodeEncodeError:
        raise DatasetError(
            f"the path of the folder {place!r} is not UTF-8, in which a checkpoint keeps it. Rename the folder."
        ) from None
    return place


def left_out(listing: Listing) -> list[str]:
    found = listing.skipped.sentences()
    return [f"left out: {'; '.join(found)}."] if found else []


def _summary(root: Path, layout: Layout, parts: dict[str, Part]) -> str:
    counts = ", ".join(f"{part.count} in {split} ({part.source})" for split, part in parts.items())
    return f"{root}: {len(layout.labels)} classes; {counts}."
