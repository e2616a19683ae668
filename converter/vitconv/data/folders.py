"""A folder of class folders as a data set: `photos/rose/1.jpg`, or `photos/train/rose/1.jpg` and so on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitconv.data.images import open_picture
from vitconv.data.prepared import Example, Part
from vitconv.foundation.errors import DatasetError
from vitconv.foundation.files import sha256

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})

# What a folder of a split may be called, and what the split is called here.
SPLIT_FOLDERS = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}

logger = logging.getLogger("vitconv")


@dataclass(frozen=True)
class ImageFolder:
    """What a folder holds. `version` is a short digest of its pictures' paths and sizes."""

    name: str
    version: str
    labels: tuple[str, ...]
    parts: dict[str, Part]


@dataclass(frozen=True)
class _Picture:
    path: Path
    relative: str
    label: int
    size: int
    modified_ns: int

    @cached_property
    def sha256(self) -> str:
        return sha256(self.path)


def read_image_folder(root: Path) -> ImageFolder:
    """Lists the pictures and divides them; nothing is decoded.

    A folder without splits is shuffled (seed 0) and its last tenth is the validation split; so is `train/`
    where there is no validation folder. A picture of which a byte-for-byte copy is in a later split
    (train, validation, test) is left out of the earlier one, with a warning on the logger "vitconv".
    Raises DatasetError.
    """
    try:
        return _read(root)
    except OSError as error:
        raise DatasetError(f"cannot read the folder {root}: {error}. Check its permissions.") from error


def shuffled(count: int) -> NDArray[np.int64]:
    """The same permutation of `count` things everywhere: int64 [count].

    NumPy promises for RandomState, and for no newer generator, that a seed gives the same numbers forever.
    """
    return np.random.RandomState(0).permutation(count)


def _read(root: Path) -> ImageFolder:
    if not root.is_dir():
        problem = "is a file, not a folder" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {problem}. Give a folder of class folders, like {root}/rose/1.jpg.")
    folders = _split_folders(root)
    labels = _class_names(folders.get("train", root))
    for folder in folders.values():
        _check_same_classes(folder, labels, folders["train"])
    listed = {
        split: _list_pictures(root, folder, labels) for split, folder in (folders or {"train": root}).items()
    }
    everything = sorted((p for pictures in listed.values() for p in pictures), key=lambda p: p.relative)
    # Equal names and sizes do not mean equal pictures: an edited file, another folder of that name.
    fingerprint = _digest([str(root.resolve()), *(f"{p.relative} {p.modified_ns}" for p in everything)])
    parts = {}
    for split, (source, pictures) in _divide(root, folders, listed).items():
        if not pictures:
            raise DatasetError(f"no picture is left for the {split} split of {root}. Add different pictures.")
        parts[split] = Part(source, len(pictures), fingerprint, partial(_examples, pictures))
    version = _digest([f"{p.relative} {p.size}" for p in everything])[:12]
    return ImageFolder(root.resolve().name, version, labels, parts)


def _divide(
    root: Path, folders: dict[str, Path], listed: dict[str, list[_Picture]]
) -> dict[str, tuple[str, list[_Picture]]]:
    """split -> its source and pictures, disjoint, in the order train, validation, test."""
    # Shuffled everywhere, so that the first few pictures of any split are of all classes.
    pictures = {split: [each[i] for i in shuffled(len(each))] for split, each in listed.items()}
    sources = {split: f"{folder.name}/ folder" for split, folder in folders.items()}
    for split in [name for name in ("train", "validation") if name in pictures and "test" in pictures]:
        pictures[split] = _without_copies(root, split, pictures[split], "test", pictures["test"])
    if "validation" not in pictures:
        pool = pictures["train"]
        cut = max(0, len(pool) - max(1, round(len(pool) / 10)))
        pictures["train"], pictures["validation"] = pool[:cut], pool[cut:]
        where = " in train/" if folders else ""
        for split in ("train", "validation"):
            sources[split] = f"{len(pictures[split])} of {len(pool)}{where} (seed 0)"
    pictures["train"] = _without_copies(root, "train", pictures["train"], "validation", pictures["validation"])
    order = [split for split in ("train", "validation", "test") if split in pictures]
    return {split: (sources[split], pictures[split]) for split in order}


def _examples(pictures: Sequence[_Picture]) -> Iterator[Example]:
    for picture in pictures:
        remedy = "Remove it, or put a readable picture in its place."
        yield Example(partial(open_picture, picture.path), picture.label, str(picture.path), remedy)


def _split_folders(root: Path) -> dict[str, Path]:
    """split -> its folder; empty for a folder that has the class folders directly in it."""
    found: dict[str, Path] = {}
    for folder in _visible_folders(root):
        split = SPLIT_FOLDERS.get(folder.name)
        # A class may be called "train" too; then its pictures are directly in it.
        if split is None or any(_is_picture(path) for path in folder.iterdir()):
            continue
        if not _visible_folders(folder):
            continue
        if split in found:
            raise DatasetError(
                f"{root} has both {found[split].name}/ and {folder.name}/ for the {split} split. Keep one."
            )
        found[split] = folder
    if found and "train" not in found:
        names = " and ".join(f"{folder.name}/" for folder in found.values())
        raise DatasetError(f"{root} has {names}, but no train/ with class folders in it. Add one.")
    return found


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(path.name for path in _visible_folders(folder))
    if not names:
        raise DatasetError(
            f"{folder} has no class folders in it. Put the pictures into one folder a class, "
            f"like {folder}/rose/1.jpg."
        )
    if len(names) == 1:
        raise DatasetError(f"{folder} has only one class, {names[0]!r}. A classifier needs at least two.")
    return names


def _check_same_classes(folder: Path, labels: tuple[str, ...], reference: Path) -> None:
    names = {path.name for path in _visible_folders(folder)}
    if names != set(labels):
        missing = ", ".join(sorted(set(labels) - names)) or "none"
        extra = ", ".join(sorted(names - set(labels))) or "none"
        raise DatasetError(
            f"{folder} and {reference} have different class folders (missing: {missing}; extra: {extra}). "
            "Give both the same ones."
        )


def _list_pictures(root: Path, folder: Path, labels: Sequence[str]) -> list[_Picture]:
    """Every picture below the class folders, sorted by its path relative to `root`."""
    pictures: list[_Picture] = []
    for label, name in enumerate(labels):
        before = len(pictures)
        for path in (folder / name).rglob("*"):
            inside = path.relative_to(folder / name)
            if any(part.startswith(".") for part in inside.parts) or not _is_picture(path):
                continue
            state = path.stat()
            relative = path.relative_to(root).as_posix()
            pictures.append(_Picture(path, relative, label, state.st_size, state.st_mtime_ns))
        if len(pictures) == before:
            raise DatasetError(
                f"the class folder {folder / name} has no pictures in it "
                f"({', '.join(sorted(s[1:] for s in SUFFIXES))}). Add some, or remove the folder."
            )
    return sorted(pictures, key=lambda picture: picture.relative)


def _without_copies(
    root: Path, split: str, pictures: list[_Picture], later_split: str, later: list[_Picture]
) -> list[_Picture]:
    """`pictures` but for exact copies of those in `later`, which would make results there look too good."""
    # Only files of equal size can be equal, so most are never read.
    sizes = {picture.size for picture in pictures} & {picture.size for picture in later}
    known = {picture.sha256 for picture in later if picture.size in sizes}
    copies = {picture.relative for picture in pictures if picture.size in sizes and picture.sha256 in known}
    if copies:
        logger.warning(
            f"{root}: {len(copies)} of {len(pictures)} pictures were left out of the {split} split, because "
            f"the {later_split} split has exact copies of them; the first is {min(copies)}."
        )
    return [picture for picture in pictures if picture.relative not in copies]


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _digest(lines: Sequence[str]) -> str:
    # Names of files need not be UTF-8.
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
