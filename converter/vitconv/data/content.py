"""Which split a picture belongs to, by its content alone.

Its key is the first eight bytes of the SHA-256 of its encoded bytes, big-endian: key / 2⁶⁴ is as good as a random
number from 0 to 1, and the same on every machine. Below 0.1 it is a test picture, from 0.1 to 0.2 one of
validation, and one of training from there. So a picture keeps its side when others come and go, and exact copies
are always together. Where no test split is made, test's share is training's: no picture of validation moves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitconv.data.cuts import THREE_WAY, TWO_WAY
from vitconv.foundation.disk.files import sha256

# The least keys that are not below 0.1 and 0.2.
_TENTH, _FIFTH = -(-(2**64) // 10), -(-(2**64) // 5)

# A tenth of fewer pictures of a class would be one or two: an accuracy measured on them says nothing.
LEAST_FOR_TEST = 30

Keys = NDArray[np.uint64]


def picture_key(encoded: bytes) -> int:
    """The key of a picture of these bytes, from 0 to 2⁶⁴ − 1."""
    return int.from_bytes(hashlib.sha256(encoded).digest()[:8], "big")


def file_key(path: Path) -> int:
    """The key of a picture file."""
    return int(sha256(path)[:16], 16)


def splits_to_cut(own: Collection[str], cut: str | None, keys: Keys, labels: NDArray[np.int64]) -> frozenset[str]:
    """Which splits are to be cut out of the training pictures, given by keys and labels, int64 [N].

    `own` are the splits that the data set has itself. Where `cut` is None, a test split is cut out where every
    class has LEAST_FOR_TEST different pictures.
    """
    missing = {"validation", "test"} - set(own)
    if cut is None and "test" in missing:
        order = np.lexsort((keys, labels))
        other = (np.diff(keys[order]) != 0) | (np.diff(labels[order]) != 0)
        different = np.bincount(labels[order][np.concatenate([[True], other])])
        cut = THREE_WAY if different.min() >= LEAST_FOR_TEST else TWO_WAY
    if cut == TWO_WAY:
        missing.discard("test")
    return frozenset(missing)


def name_of_cut(made: Collection[str]) -> str | None:
    """What a cut is called that made these splits."""
    return THREE_WAY if "test" in made else TWO_WAY if made else None


def divide(keys: Keys, labels: NDArray[np.int64], made: Collection[str]) -> dict[str, NDArray[np.int64]]:
    """Cuts the splits of `made` ("validation", "test") out of the pictures: split → ascending indices.

    Each class gives validation at least one picture where it has two different ones, and test where it has three;
    and keeps one for training. No key may have two labels.
    """
    sides = np.zeros(len(keys), np.int8)  # 0: train
    order = np.lexsort((keys, labels))
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        different = np.unique(keys[members])
        validation = _for_validation(different) if "validation" in made else different[:0]
        rest = np.setdiff1d(different, validation, assume_unique=True)
        test = _for_test(rest) if "test" in made else rest[:0]
        sides[members[np.isin(keys[members], validation)]] = 1
        sides[members[np.isin(keys[members], test)]] = 2
    names = {"train": 0, "validation": 1, "test": 2}
    return {name: np.flatnonzero(sides == names[name]) for name in ("train", *sorted(made, reverse=True))}


def _for_validation(different: Keys) -> Keys:
    """Of a class's keys in ascending order. It must not depend on whether test gets some, too."""
    chosen = different[(different >= _TENTH) & (different < _FIFTH)]
    if len(different) < 2:
        return different[:0]
    if len(chosen) == 0:
        later = different[different >= _TENTH]
        return (later if len(later) else different)[:1]
    return chosen[:-1] if len(chosen) == len(different) else chosen


def _for_test(rest: Keys) -> Keys:
    """Of the keys, in ascending order, that validation left."""
    chosen = rest[rest < _TENTH]
    if len(rest) < 2:
        return rest[:0]
    if len(chosen) == 0:
        return rest[:1]
    return chosen[:-1] if len(chosen) == len(rest) else chosen


def under_two_labels(keys: Keys, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pictures are there under another label, too: bool [N]."""
    order = np.lexsort((labels, keys))
    same = (np.diff(keys[order]) == 0) & (np.diff(labels[order]) != 0)
    torn: NDArray[np.bool_] = np.isin(keys, keys[order][1:][same])
    return torn


def digest_of_pictures(keys: Keys, labels: NDArray[np.int64]) -> str:
    """SHA-256 (hex) over which pictures there are, under which labels, in which order."""
    return hashlib.sha256(keys.astype("<u8").tobytes() + labels.astype("<i8").tobytes()).hexdigest()
