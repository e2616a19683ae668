"""scikit-learn's handwritten digits, which need no download: 1,797 pictures of 8×8 pixels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.metadata import version as installed_version

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitconv.data.content import Keys, picture_key
from vitconv.data.sources import Example, Part, Source
from vitconv.foundation.errors import DatasetError
from vitconv.foundation.progress import Progress

NAME = "digits"
COUNT = 1797


def read_digits(cut: str | None = None) -> Source:
    """70 % train, 10 % validation and 20 % test, shuffled (seed 0); the same for ever. Raises DatasetError for a
    `cut`, as there is nothing to cut."""
    if cut is not None:
        raise DatasetError(f"digits has splits of its own: the cut {cut!r} is not for it. Leave it out.")
    # NumPy promises for RandomState, and for no newer generator, that a seed gives the same numbers for ever.
    order = np.random.RandomState(0).permutation(COUNT)
    first, second = COUNT * 70 // 100, COUNT * 80 // 100
    chosen = {"train": order[:first], "validation": order[first:second], "test": order[second:]}
    version = installed_version("scikit-learn")
    parts = {}
    for split, indices in chosen.items():
        source = f"{len(indices)} of {COUNT} (seed 0)"
        identity = {"dataset": NAME, "version": version, "split": split, "source": source}
        parts[split] = Part(source, len(indices), identity, partial(_examples, indices), partial(_keys, indices))
    return Source(NAME, version, tuple("0123456789"), parts, opened_by=NAME, mirrored_keeps_label=False)


def _examples(indices: NDArray[np.int64]) -> Iterator[Example]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    # float64 0–16 -> uint8 0–255, [1797, 8, 8]
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    for index in indices:
        picture = partial(Image.fromarray, pixels[index])
        key = picture_key(pixels[index].tobytes())
        yield Example(picture, int(digits.target[index]), f"digit {index}", "Install scikit-learn again.", key)


def _keys(indices: NDArray[np.int64], progress: Progress | None) -> tuple[Keys, NDArray[np.int64]]:
    pairs = [(example.picture, example.label) for example in _examples(indices)]
    return np.array([key for key, _ in pairs], np.uint64), np.array([label for _, label in pairs], np.int64)
