"""Images of a split that is too large to be prepared: decoded whenever they are asked for, and not kept."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from vitconv.data.decoding import THREADS, Failure, decode
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.sources import Example
from vitconv.foundation.errors import DatasetError, InputError

# The environment variable that says how many gigabytes (10⁹ bytes) a split may take prepared, and what holds
# without it.
LIMIT, DEFAULT_LIMIT = "VITCONV_PREPARED_GB", 32.0
_LOOKED_AT = 4096  # images that stand for all where every one would have to be decoded
_BATCHES_AHEAD = 2

logger = logging.getLogger("vitconv")


def limit_bytes() -> float:
    """How large a prepared split may be. Raises InputError where the variable is no number."""
    text = os.environ.get(LIMIT, "").strip()
    try:
        gigabytes = float(text or DEFAULT_LIMIT)
    except ValueError:
        gigabytes = -1.0
    if not gigabytes >= 0:
        raise InputError(f"{LIMIT} must be a number of gigabytes, 0 or more, not {text!r}.")
    return gigabytes * 1e9


class StreamedImages:
    """uint8 [N, H, W, 3], 0–255, like a read-only array of which rows are taken by a number, a slice, or several
    numbers. Each row is decoded when it is taken; nothing is kept.

    `at` gives the example at a place. Raises DatasetError where a picture cannot be read.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, at: Callable[[int], Example], places: NDArray[np.int64], spec: ImageSpec) -> None:
        self._at, self._places, self._spec = at, places, spec
        self._ahead: OrderedDict[bytes, list[Future[NDArray[np.uint8]]]] = OrderedDict()
        self._noted = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self._places), *self._spec.shape)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, rows: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, rows: slice | NDArray[np.int64] | list[int]) -> NDArray[np.uint8]: ...
    def __getitem__(self, rows: int | slice | NDArray[np.int64] | list[int]) -> NDArray[np.uint8]:
        places = self._places[rows]
        if places.ndim == 0:
            return self._decoded(int(places))
        coming = self._ahead.pop(places.tobytes(), None) or self._begin(places)
        if not coming:
            return np.zeros((0, *self._spec.shape), np.uint8)
        return np.stack([one.result() for one in coming])

    def soon(self, rows: slice | NDArray[np.int64]) -> None:
        """Begins to decode rows that will be taken together next, in other threads."""
        places = self._places[rows]
        if not len(places) or places.tobytes() in self._ahead:
            return
        self._ahead[places.tobytes()] = self._begin(places)
        while len(self._ahead) > _BATCHES_AHEAD:  # nobody came for them
            for one in self._ahead.popitem(last=False)[1]:
                one.cancel()

    def only(self, rows: NDArray[np.int64]) -> StreamedImages:
        """Some of the rows, int64 [n], in that order."""
        return StreamedImages(self._at, self._places[rows], self._spec)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(THREADS, "decoding")

    def _begin(self, places: NDArray[np.int64]) -> list[Future[NDArray[np.uint8]]]:
        return [self._pool.submit(self._decoded, place) for place in places.tolist()]

    def _decoded(self, place: int) -> NDArray[np.uint8]:
        made = decode(self._at(place), self._spec, self._note)
        if isinstance(made, Failure):
            raise DatasetError(f"{made.message} {made.remedy}") from made.error
        return made

    def _note(self, said: str) -> None:
        if not self._noted:
            self._noted = True
            logger.warning(f"some pictures may not be upright. The first: {said}.")


Images = NDArray[np.uint8] | StreamedImages
"""What a split holds: uint8 [N, H, W, 3]."""


def soon(images: Images, rows: slice | NDArray[np.int64]) -> None:
    """Says which rows will be taken next, where that is of use."""
    if isinstance(images, StreamedImages) and len(images):
        images.soon(rows)


def to_look_at(images: Images) -> NDArray[np.uint8]:
    """All images, or of streamed ones 4,096 that are evenly spaced."""
    if isinstance(images, StreamedImages):
        count = min(len(images), _LOOKED_AT)
        return images[np.arange(count, dtype=np.int64) * len(images) // count]
    return images
