"""Prepared images on disk: each split is decoded once for each image size, and memory-mapped ever after."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from vitconv.data.images import ImageSpec
from vitconv.foundation.cache import cache_directory, lock_beside
from vitconv.foundation.errors import DatasetError, InputError, OutputError
from vitconv.foundation.files import (
    atomic_directory,
    remove_leftovers,
    restore_directory,
    writable_directory,
    write_json,
)
from vitconv.foundation.progress import Progress

# Raise it when the same data set and ImageSpec would no longer give the same bytes.
FORMAT = 1

# Enough pictures at a time to keep every thread busy, few enough to stay small in memory.
BATCH = 128

logger = logging.getLogger("vitconv")


@dataclass(frozen=True)
class Example:
    """One picture that is not decoded yet. An error says `where` it is, and ends with the `remedy`."""

    open: Callable[[], Image.Image]
    label: int
    where: str
    remedy: str


@dataclass(frozen=True)
class Part:
    """One split before decoding: `count` examples, in a fixed order.

    `fingerprint` changes when the examples may have changed under the same name, version and source.
    """

    source: str
    count: int
    fingerprint: str
    examples: Callable[[], Iterator[Example]]


@dataclass(frozen=True)
class Prepared:
    """uint8 [N, H, W, 3] (read-only memory map), int64 [N] (read-only), and the SHA-256 over both."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    digest: str


def prepare(
    dataset: str, version: str, split: str, part: Part, spec: ImageSpec, progress: Progress | None
) -> Prepared:
    """The part's images as `spec` prepares them: from the cache where they are, else decoded into it.

    Raises DatasetError that names a picture that cannot be read, and OutputError where the cache cannot be
    written. A cache entry that is incomplete or of another shape is made again.
    """
    key = {
        "format": FORMAT,
        "dataset": dataset,
        "version": version,
        "split": split,
        "source": part.source,
        "fingerprint": part.fingerprint,
        "image": spec.to_json(),
        # Decoders and the resize filter may change between major versions.
        "pillow": PIL.__version__.split(".")[0],
    }
    short = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    readable = re.sub(r"[^a-zA-Z0-9_-]+", "_", f"{dataset}-{split}")[:60]
    folder = cache_directory() / f"{readable}-{short}"
    shape = (part.count, *spec.shape)
    if found := _open(folder, key, shape):
        return found
    try:
        writable_directory(folder.parent)
        with lock_beside(folder):
            restore_directory(folder)
            # Another process may have made it while this one waited.
            if found := _open(folder, key, shape):
                return found
            remove_leftovers(folder.parent, [folder.name])  # nobody else writes here while the lock is held
            _check_room(folder.parent, int(np.prod(shape, dtype=np.int64)))
            with atomic_directory(folder) as temporary:
                _write(temporary, key, part, spec, f"decoding {dataset} {split}", progress)
    except OutputError as error:
        raise OutputError(
            f"{error} Prepared images are kept there: set VITCONV_CACHE to a folder with room for them."
        ) from error
    if made := _open(folder, key, shape):
        return made
    raise OutputError(f"{folder} cannot be read back. Set VITCONV_CACHE to a folder on a local disk.")


def digest_of(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> str:
    """SHA-256 (hex) over the shape, the pixels and the labels."""
    digest = _start_digest(images.shape)
    for start in range(0, len(images), BATCH):
        digest.update(images[start : start + BATCH].tobytes())
    return _finish_digest(digest, labels)


def _start_digest(shape: tuple[int, ...]) -> hashlib._Hash:
    return hashlib.sha256(repr(tuple(map(int, shape))).encode())


def _finish_digest(digest: hashlib._Hash, labels: NDArray[np.int64]) -> str:
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()


def _open(folder: Path, key: dict[str, Any], shape: tuple[int, ...]) -> Prepared | None:
    """The entry, or None where there is none, or none that can be trusted."""
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        if card["key"] != key or card["bytes"] != _sizes(folder):
            return None
        images = np.load(folder / "images.npy", mmap_mode="r")
        labels = np.load(folder / "labels.npy")
        digest = card["sha256"]
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    if (images.dtype, images.shape, labels.dtype, labels.shape) != (np.uint8, shape, np.int64, shape[:1]):
        return None
    labels.setflags(write=False)
    return Prepared(images, labels, str(digest))


def _sizes(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_size for name in ("images.npy", "labels.npy")}


def _write(
    folder: Path, key: dict[str, Any], part: Part, spec: ImageSpec, what: str, progress: Progress | None
) -> None:
    shape = (part.count, *spec.shape)
    labels = np.zeros(part.count, np.int64)
    digest = _start_digest(shape)
    examples = part.examples()
    done = 0
    noted: list[str] = []
    threads = min(8, os.cpu_count() or 1)
    # Written as a plain file: a full disk gives an OSError there, and a bus error in a memory map.
    with (folder / "images.npy").open("wb") as stream, ThreadPoolExecutor(threads) as pool:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)  # type: ignore[no-untyped-call]
        while batch := list(islice(examples, BATCH)):
            if done + len(batch) > part.count:
                break
            pixels = np.stack(list(pool.map(lambda example: _decode(example, spec, noted), batch)))
            labels[done : done + len(batch)] = [example.label for example in batch]
            encoded = pixels.tobytes()
            stream.write(encoded)
            digest.update(encoded)
            done += len(batch)
            if progress:
                progress(what, done, part.count)
    if done != part.count or batch:
        raise DatasetError(
            f"{what}: {part.source} should have {part.count} examples, and "
            f"{'more' if batch else done} were found. Prepare the data set again."
        )
    if noted:
        logger.warning(f"{what}: {len(noted)} of {done} pictures may not be upright. The first: {min(noted)}.")
    np.save(folder / "labels.npy", labels)
    write_json(
        folder / "card.json",
        {"key": key, "bytes": _sizes(folder), "sha256": _finish_digest(digest, labels)},
    )


def _decode(example: Example, spec: ImageSpec, noted: list[str]) -> NDArray[np.uint8]:
    """The picture's pixels; what is to be said of it nevertheless is added to `noted`."""
    # Pillow's decoders meet a damaged file with many kinds of exception, not only OSError.
    try:
        return spec.prepare(example.open(), lambda note: noted.append(f"{example.where}: {note}"))
    except InputError as error:
        where = "" if example.where in str(error) else f"{example.where}: "
        raise DatasetError(f"{where}{error} {example.remedy}") from error
    except Exception as error:
        raise DatasetError(f"cannot read {example.where}: {error}. {example.remedy}") from error


def _check_room(root: Path, needed: int) -> None:
    free = shutil.disk_usage(root).free
    if needed > free:
        raise OutputError(f"{root} has {free / 1e9:.1f} GB free, and {needed / 1e9:.1f} GB are needed.")
