"""What every kind of data set gives: its pictures in splits, not decoded yet, and what was found on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitconv.data.content import Keys
from vitconv.foundation.progress import Progress


@dataclass(frozen=True)
class Example:
    """One picture that is not decoded yet. An error says `where` it is, and ends with the `remedy`. `picture` is
    the content's key (see `content.picture_key`)."""

    open: Callable[[], Image.Image]
    label: int
    where: str
    remedy: str
    picture: int


@dataclass(frozen=True)
class Part:
    """One split before decoding: `count` examples, in a fixed order.

    `keys` gives the key and the label of each, uint64 [N] and int64 [N], without decoding any. `identity` (JSON)
    is another one whenever the examples may be others. `place` is the same before and after an edit: what was
    prepared of it before the edit is then of no more use; None keeps everything. `at` gives, perhaps after a first
    look at all files, what finds the example at a place without those before it; None where that cannot be.
    """

    source: str
    count: int
    identity: Mapping[str, Any]
    examples: Callable[[], Iterator[Example]]
    keys: Callable[[Progress | None], tuple[Keys, NDArray[np.int64]]]
    place: str | None = None
    at: Callable[[Progress | None], Callable[[int], Example]] | None = None


@dataclass(frozen=True)
class Source:
    """A data set as it was found.

    `labels` are the class names in label order. `opened_by` is what opens it again from anywhere. `cut` is how
    what is in no split of its own was divided, one of `cuts.CUTS`; None where nothing was. `notes` are
    sentences that a user should read, `summary` one on what is used.
    """

    name: str
    version: str
    labels: tuple[str, ...]
    parts: Mapping[str, Part]
    opened_by: str
    mirrored_keeps_label: bool = True
    cut: str | None = None
    notes: tuple[str, ...] = ()
    summary: str = ""
