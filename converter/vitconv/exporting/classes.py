"""classes.json of an export folder: what the training saw of each class, and how well it did there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec

from vitconv.checkpoints.checkpoint import Card
from vitconv.foundation import documents
from vitconv.foundation.disk.files import write_json
from vitconv.foundation.errors import CheckpointError, InputError

FILE = "classes.json"

Count = Annotated[int, msgspec.Meta(ge=0)]


class TrainedClass(msgspec.Struct, frozen=True):
    """`trained`: whether any training picture is of the class. Of `images` validation pictures so many were given
    the `right` class; both are None where the training did not keep it."""

    label: str
    trained: bool
    images: Count | None = None
    right: Count | None = None

    def __post_init__(self) -> None:
        if (self.images is None) != (self.right is None) or (self.right or 0) > (self.images or 0):
            raise ValueError(f"{self.right} of {self.images} pictures cannot be right")


class _Classes(msgspec.Struct, frozen=True):
    """The whole document, in the order of the labels."""

    classes: tuple[TrainedClass, ...]


class _Split(msgspec.Struct, frozen=True):
    missing: tuple[str, ...] = ()


class _Result(msgspec.Struct, frozen=True):
    label: str
    images: Count
    right: Count


def of_card(card: Card) -> tuple[TrainedClass, ...] | None:
    """Of a checkpoint's card, in the order of its labels; None where it does not tell.

    Raises CheckpointError where the card has something else in the place.
    """
    try:
        splits = documents.convert(card.dataset.get("splits") or {}, dict[str, _Split])
        results = documents.convert(card.results.get("classes") or (), tuple[_Result, ...])
    except InputError as error:
        raise CheckpointError(
            f"the card's splits or classes are not what a training writes: {error} Train again."
        ) from None
    missing = {name: frozenset(split.missing) for name, split in splits.items()}
    if not results and not any(missing.values()):
        return None
    counts: dict[str, tuple[int | None, int | None]] = dict.fromkeys(missing.get("validation", ()), (0, 0))
    counts |= {result.label: (result.images, result.right) for result in results}
    untrained = missing.get("train", frozenset())
    return tuple(
        TrainedClass(label, label not in untrained, *counts.get(label, (None, None))) for label in card.labels
    )


def write(folder: Path, classes: Sequence[TrainedClass]) -> None:
    """Writes FILE into an export folder. Raises OutputError."""
    write_json(folder / FILE, documents.to_json(_Classes(tuple(classes))))


def read(folder: Path) -> tuple[TrainedClass, ...] | None:
    """What an export folder's FILE says; None where there is none. Raises InputError where it is not one."""
    build = partial(documents.convert, structure=_Classes)
    found = documents.read_if_there(folder / FILE, build, "list of classes", "Export again.")
    return None if found is None else found.classes


def never_trained(classes: Sequence[TrainedClass]) -> list[str]:
    """The labels of which training had no picture."""
    return [one.label for one in classes if not one.trained]


def never_validated(classes: Sequence[TrainedClass]) -> list[str]:
    """The labels of which validation had no picture, as far as that is known."""
    return [one.label for one in classes if one.images == 0]
