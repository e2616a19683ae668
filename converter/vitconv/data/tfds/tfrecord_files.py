"""The TFRecord files of a TensorFlow data set's split: where each picture stands in them, so that one can be read
alone.

A TFRecord file is a row of records: length (uint64, little-endian), its checksum (4 bytes), that many bytes, their
checksum (4 bytes). (TensorFlow, tensorflow/core/lib/io/record_writer.h.)
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.data.content import Keys, picture_key
from vitconv.foundation.disk.cache import cache_directory, entry_name
from vitconv.foundation.disk.files import atomic_write
from vitconv.foundation.errors import DatasetError, OutputError
from vitconv.foundation.progress import Progress

_HEADER, _FOOTER = 12, 4


class RecordFiles:
    """Pictures of a split by their keys. Made by `find_pictures`."""

    def __init__(self, paths: tuple[Path, ...], table: NDArray[np.uint64]) -> None:
        """table: key, file, offset, length of each picture, uint64 [N, 4], sorted by key."""
        self._paths, self._table = paths, table
        self._keys = np.ascontiguousarray(table[:, 0])

    def encoded(self, key: int) -> bytes:
        """A picture's encoded bytes. Raises OSError where the file cannot be read, or is another by now."""
        place = int(np.searchsorted(self._keys, np.uint64(key)))
        _, file, offset, length = map(int, self._table[place])
        with self._paths[file].open("rb") as stream:
            record = os.pread(stream.fileno(), length, offset)
        encoded = _image_of(record)
        if encoded is None or picture_key(encoded) != key:
            raise OSError(f"{self._paths[file]} has changed")
        return encoded

    def has(self, keys: Keys) -> bool:
        """Whether all of these pictures are here."""
        return bool(np.isin(keys, self._keys).all())


def is_tfrecord(builder: Any) -> bool:
    """Whether the data set's files are of this kind, rather than of another that TensorFlow Datasets writes."""
    return builder.info.file_format is not None and builder.info.file_format.value == "tfrecord"


def find_pictures(name: str, builder: Any, split: str, progress: Progress | None) -> RecordFiles:
    """Looks through the split's files once; the next time, takes what was kept of that. Raises DatasetError."""
    info = builder.info.splits[split]
    paths = tuple(Path(path) for path in info.filepaths)
    place = [str(builder.data_path), split, info.num_examples, int(info.num_bytes)]
    kept = cache_directory() / f"places-{entry_name(f'{name}-{split}', place)}.npy"
    with suppress(OSError, ValueError):
        table = np.load(kept)
        if table.dtype == np.uint64 and table.shape == (info.num_examples, 4):
            return RecordFiles(paths, table)
    rows: list[tuple[int, int, int, int]] = []
    for number, path in enumerate(paths):
        try:
            for offset, record in _records(path):
                encoded = _image_of(record)
                if encoded is None:
                    raise OSError("a record has no picture")
                rows.append((picture_key(encoded), number, offset, len(record)))
                if progress and len(rows) % 512 == 0:
                    progress(f"finding {name} {split}", len(rows), info.num_examples)
        except OSError as error:
            raise DatasetError(f"cannot read {path}: {error}. Prepare the data set again.") from error
    table = np.array(rows, np.uint64).reshape(-1, 4)
    table = table[np.argsort(table[:, 0], kind="stable")]
    # Without it the files are looked through again next time, no more.
    with suppress(OutputError), atomic_write(kept) as temporary, temporary.open("wb") as stream:
        np.save(stream, table)
    return RecordFiles(paths, table)


def _records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and content of each record."""
    with path.open("rb") as stream:
        while header := stream.read(_HEADER):
            if len(header) < _HEADER:
                raise OSError("it ends within a record")
            (length,) = struct.unpack("<Q", header[:8])
            offset, record = stream.tell(), stream.read(length)
            if len(record) < length or len(stream.read(_FOOTER)) < _FOOTER:
                raise OSError("it ends within a record")
            yield offset, record


def _image_of(record: bytes) -> bytes | None:
    """The encoded picture of a serialized tf.train.Example, None where it has none."""
    import tensorflow as tf

    try:
        values = tf.train.Example.FromString(record).features.feature["image"].bytes_list.value
    except Exception:  # of protobuf's own
        return None
    return bytes(values[0]) if len(values) == 1 else None
