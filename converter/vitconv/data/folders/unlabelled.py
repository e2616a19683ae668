"""A folder of pictures without classes: enough to calibrate on, and to see whether two models agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vitconv.data import content, cuts
from vitconv.data.folders.file_keys import file_keys
from vitconv.data.folders.labelled import absolute, left_out, picture_part
from vitconv.data.folders.listing import list_pictures
from vitconv.data.sources import Source
from vitconv.foundation.errors import DatasetError
from vitconv.foundation.progress import Progress

_LEAST = 2  # one to calibrate on, another to compare on


def read_pictures(root: Path, progress: Progress | None = None) -> Source:
    """All pictures below a folder, each content once, divided by it into train and validation.

    Raises DatasetError.
    """
    try:
        if not root.is_dir():
            problem = "is a file, not a folder" if root.exists() else "does not exist"
            raise DatasetError(f"{root} {problem}. Give a folder of pictures.")
        place = absolute(root)
        listing = list_pictures(root)
        keys, first = np.unique(file_keys(root, listing.pictures, progress), return_index=True)
    except OSError as error:
        raise DatasetError(f"cannot read the folder {root}: {error}. Check its permissions.") from error
    if len(keys) < _LEAST:
        raise DatasetError(
            f"{root} has {len(keys)} different pictures: at least {_LEAST} are needed, one to calibrate on and "
            "one to compare on. Give more."
        )
    labels = np.zeros(len(keys), np.int64)
    divided = content.divide(keys, labels, content.splits_to_cut((), cuts.TWO_WAY, keys, labels))
    parts = {}
    for split, chosen in divided.items():
        parts[split] = picture_part(
            [listing.pictures[first[index]] for index in chosen],
            keys[chosen],
            labels[chosen],
            source=f"{len(chosen)} of {len(keys)} without classes (by content)",
            place=f"{place}:{split}:unlabelled",
        )
    return Source(
        name=Path(place).name,
        version=content.digest_of_pictures(keys, labels)[:12],
        labels=(),
        parts=parts,
        opened_by=place,
        cut=cuts.TWO_WAY,
        notes=tuple(f"{root}: {note}" for note in left_out(listing)),
        summary=f"{root}: {len(keys)} pictures without classes.",
    )
