"""Which images of a split to calibrate on."""

from __future__ import annotations

import hashlib
from itertools import islice

import numpy as np

from vitconv.checkpoints.pictures import Keys, SeenPictures
from vitconv.data.datasets import Split
from vitconv.data.streamed import Images

_FAMILIAR = 0.9  # of the images; a data set may have been edited since the training


def choose_images(
    split: Split, samples: int, seed: int, held_out: frozenset[bytes] = frozenset()
) -> tuple[int, ...]:
    """Indices of `samples` images (all, if there are fewer), as evenly over the classes as the split allows.

    Images whose digest is in `held_out` are passed over.
    """
    rng = np.random.default_rng(seed)
    labels = np.asarray(split.labels)
    shuffled = rng.permutation(len(labels))
    # The k-th image of its class comes before any class's (k+1)-th.
    turn = np.empty(len(labels), np.int64)
    seen: dict[int, int] = {}
    for index in shuffled:
        label = int(labels[index])
        turn[index] = seen[label] = seen.get(label, -1) + 1
    ordered = shuffled[np.argsort(turn[shuffled], kind="stable")]
    chosen = (int(index) for index in ordered if not held_out or _digest(split.images[index]) not in held_out)
    return tuple(islice(chosen, samples))


def digests_of(images: Images) -> frozenset[bytes]:
    """Of each image of uint8 [N, H, W, 3]."""
    return frozenset(_digest(images[index]) for index in range(len(images)))


def _digest(image: np.ndarray) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()


def trained_on(seen: SeenPictures | None, pictures: Keys | None) -> bool:
    """Whether these pictures are ones that the network was trained on, all or nearly, as far as is known."""
    if seen is None or pictures is None:
        return False
    return bool(np.isin(pictures, seen.trained).mean() > _FAMILIAR)
