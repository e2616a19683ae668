"""The records of a TensorFlow data set: encoded pictures with labels, and the keys of all of a split."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.data.content import Keys, picture_key
from vitconv.data.pictures.images import decode_picture
from vitconv.data.sources import Example
from vitconv.data.tfds.tfrecord_files import find_pictures
from vitconv.foundation.disk.cache import cache_directory, entry_name
from vitconv.foundation.disk.files import atomic_write
from vitconv.foundation.errors import DatasetError, OutputError
from vitconv.foundation.progress import Progress
from vitconv.foundation.quiet import native_output

_LOOKED_AT = 64  # records that say whether a split has labels: where it has none, all are −1


@contextmanager
def quiet_tfds() -> Iterator[None]:
    """Keeps standard output for results, and TensorFlow's own notes out of the user's sight."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        absl.setLevel(level)


Records = tuple[Keys, NDArray[np.int64]]
"""The keys, uint64 [N], and labels, int64 [N], of a split in its own order."""


def has_labels(builder: Any, split: str) -> bool:
    """Whether any of the first records has a label; True where it cannot be read, which says why when it is."""
    try:
        first = [int(row["label"]) for row in islice(_rows(builder, split), _LOOKED_AT)]
    except Exception:
        return True
    return not first or max(first) >= 0


def read_records(name: str, builder: Any, source: str, classes: int, progress: Progress | None) -> Records:
    """Reads every record of a split, or of a slice of one, once; the next time, what was kept of that. Raises
    DatasetError."""
    whole, count = builder.info.splits[source.partition("[")[0]], builder.info.splits[source].num_examples
    place = [str(builder.data_path), source, whole.num_examples, int(whole.num_bytes)]
    kept = cache_directory() / f"records-{entry_name(f'{name}-{source}', place)}.npy"
    with suppress(OSError, ValueError):
        table = np.load(kept)  # uint64 [N, 2]
        if table.dtype == np.uint64 and table.shape == (count, 2):
            return table[:, 0].copy(), table[:, 1].astype(np.int64)
    pairs = []
    for example in examples(name, builder, source, classes):
        pairs.append((example.picture, example.label))
        if progress and (len(pairs) % 512 == 0 or len(pairs) == count):
            progress(f"reading {name} {source}", len(pairs), count)
    table = np.array(pairs, np.uint64).reshape(-1, 2)
    # Without it the records are read again next time, no more.
    with suppress(OutputError), atomic_write(kept) as temporary, temporary.open("wb") as stream:
        np.save(stream, table)
    return table[:, 0].copy(), table[:, 1].astype(np.int64)


def examples(name: str, builder: Any, source: str, classes: int) -> Iterator[Example]:
    """The examples of a split, or of a slice of one in tfds's spelling, in their order. Raises DatasetError."""
    again = remedy(builder)
    try:
        for index, row in enumerate(_rows(builder, source)):
            label = int(row["label"])
            if not 0 <= label < classes:
                raise DatasetError(
                    f"example {index} of {name} {source} has the label {label}, which is none of its "
                    f"{classes} classes. Choose a split or data set with labels."
                )
            encoded = row["image"]
            where = f"example {index} of {name} {source}"
            yield Example(partial(decode_picture, encoded), label, where, again, picture_key(encoded))
    except DatasetError:
        raise
    except Exception as error:
        raise DatasetError(f"cannot read {name} {source} ({first_line(error)}). {again}") from error


def remedy(builder: Any) -> str:
    """What to do where the data set's files cannot be read."""
    return f"Remove {builder.data_path} and prepare the data set again."


def finder(
    name: str,
    builder: Any,
    source: str,
    records: Callable[[Progress | None], Records],
    progress: Progress | None,
) -> Callable[[int], Example]:
    """What gives the example at a place of `records`, which are those of `source` or some of them."""
    with quiet_tfds():
        found = find_pictures(name, builder, source.partition("[")[0], progress)
    keys, labels = records(progress)
    if not found.has(keys):
        raise DatasetError(f"the files of {name} {source} have changed while they were read. {remedy(builder)}")

    def at(place: int) -> Example:
        key = int(keys[place])
        where = f"the picture {place} of {name} {source}"
        return Example(lambda: decode_picture(found.encoded(key)), int(labels[place]), where, remedy(builder), key)

    return at


def _rows(builder: Any, source: str) -> Iterator[dict[str, Any]]:
    import tensorflow_datasets as tfds

    with quiet_tfds():
        if "tensorflow" not in sys.modules:  # while it loads it writes to the descriptors themselves
            with native_output():
                import tensorflow  # noqa: F401
        rows: Iterator[dict[str, Any]] = builder.as_dataset(
            split=source,
            shuffle_files=False,
            # Only these two features are read, and Pillow decodes the image, as on every other way here.
            decoders=tfds.decode.PartialDecoding(
                {"image": True, "label": True}, decoders={"image": tfds.decode.SkipDecoding()}
            ),
            read_config=tfds.ReadConfig(try_autocache=False),
        ).as_numpy_iterator()
    return rows


def first_line(error: Exception) -> str:
    """What is worth saying of a library's error."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".: ")
