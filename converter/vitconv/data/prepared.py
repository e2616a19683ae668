"""Prepared images on disk: each split is decoded once for each image size, and memory-mapped ever after."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import PIL
from numpy.typing import NDArray

from vitconv.data.content import Keys
from vitconv.data.decoding import THREADS, Failure, decode
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.sources import Example, Part
from vitconv.data.streamed import Images
from vitconv.foundation import documents
from vitconv.foundation.disk.cache import cache_directory, entry_name, lock_beside
from vitconv.foundation.disk.files import (
    atomic_directory,
    remove_leftovers,
    restore_directory,
    writable_directory,
    write_json,
)
from vitconv.foundation.errors import DatasetError, InputError, OutputError
from vitconv.foundation.progress import Progress

# Raise it when the same data set and ImageSpec would no longer give the same bytes.
FORMAT = 2

# Enough pictures at a time to keep every thread busy, few enough to stay small in memory.
BATCH = 128

CARD = "card.json"
_MOST_NAMED = 100  # pictures in one message

logger = logging.getLogger("vitconv")


class EntryCard(msgspec.Struct, frozen=True):
    """What stands beside prepared images: from what they were made, the sizes of the files, the SHA-256 over
    images and labels. Earlier versions kept less of where they come from."""

    key: dict[str, Any]
    bytes: dict[str, int]
    sha256: str
    dataset: str | None = None
    split: str | None = None
    place: str | None = None


@dataclass(frozen=True)
class Prepared:
    """uint8 [N, H, W, 3] (read-only memory map), int64 [N] (read-only), the SHA-256 over both, and the key of each
    picture's content, uint64 [N]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    digest: str
    pictures: Keys


def prepare(
    dataset: str, split: str, parts: Mapping[str, Part], spec: ImageSpec, progress: Progress | None = None
) -> Prepared:
    """The images of one of the parts as `spec` prepares them: from the cache where they are, else decoded into it.

    Pictures that an earlier entry of the data set has at this size are copied from there; an entry that this one
    takes the place of is removed. Raises DatasetError that lists the pictures of all parts that cannot be read,
    and OutputError where the cache cannot be written. An entry that is incomplete or of another shape is made
    again.
    """
    part = parts[split]
    key = _key(part, spec)
    folder = cache_directory() / entry_name(f"{dataset}-{split}", key)
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
            note = {"dataset": dataset, "split": split, "source": part.source, "place": part.place}
            earlier = _earlier(folder.parent, dataset, key)
            what = f"decoding {dataset} {split}"
            with atomic_directory(folder) as temporary:
                _write(temporary, {"key": key, **note}, part, spec, what, earlier, progress)
            _remove_replaced(folder, key, part.place)
    except _UnreadableError as error:
        others = {name: other for name, other in parts.items() if name != split}
        raise _all_unreadable(dataset, error, others, spec, progress) from error.first
    except OutputError as error:
        raise OutputError(
            f"{error} Prepared images are kept there: set VITCONV_CACHE to a folder with room for them."
        ) from error
    if made := _open(folder, key, shape):
        return made
    raise OutputError(f"{folder} cannot be read back. Set VITCONV_CACHE to a folder on a local disk.")


def source_digest(part: Part, spec: ImageSpec, labels: NDArray[np.int64]) -> str:
    """SHA-256 (hex) over what the images are made from, and the labels: for images that are not all decoded."""
    return _finish_digest(hashlib.sha256(json.dumps(_key(part, spec), sort_keys=True).encode()), labels)


def _key(part: Part, spec: ImageSpec) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "image": spec.to_json(),
        # Decoders and the resize filter may change between major versions.
        "pillow": PIL.__version__.split(".")[0],
        **part.identity,
    }


def digest_of(images: Images, labels: NDArray[np.int64]) -> str:
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
    card = _read_card(folder)
    try:
        if card is None or card.key != key or card.bytes != _sizes(folder):
            return None
        images = np.load(folder / "images.npy", mmap_mode="r")
        labels, pictures = np.load(folder / "labels.npy"), np.load(folder / "pictures.npy")
    except (OSError, EOFError, ValueError):
        return None
    if (images.dtype, images.shape, labels.dtype, labels.shape) != (np.uint8, shape, np.int64, shape[:1]):
        return None
    if (pictures.dtype, pictures.shape) != (np.uint64, shape[:1]):
        return None
    with suppress(OSError):
        os.utime(folder / CARD)  # when it was last used, for `vitconv cache`
    labels.setflags(write=False)
    return Prepared(images, labels, card.sha256, pictures)


def _sizes(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_size for name in ("images.npy", "labels.npy", "pictures.npy")}


def _earlier(cache: Path, dataset: str, key: Mapping[str, Any]) -> dict[int, NDArray[np.uint8]]:
    """Pictures of the data set that are prepared in the same way in other entries: key → uint8 [H, W, 3]."""
    found: dict[int, NDArray[np.uint8]] = {}
    if "pictures" not in key:  # its keys are not known before it is read
        return found
    for folder, card in entries(cache):
        if card.dataset != dataset or not _same_but_pictures(card.key, key):
            continue
        with suppress(OSError, EOFError, ValueError):
            if card.bytes == _sizes(folder):
                images = np.load(folder / "images.npy", mmap_mode="r")
                found.update(zip(np.load(folder / "pictures.npy").tolist(), images, strict=True))
    return found


def entries(cache: Path) -> Iterator[tuple[Path, EntryCard]]:
    """The folders of prepared images, and what their cards say; of no others."""
    for path in sorted(cache.glob(f"*/{CARD}")):
        if card := _read_card(path.parent):
            yield path.parent, card


def _read_card(folder: Path) -> EntryCard | None:
    """None where there is none, or something else."""
    with suppress(OSError, InputError):
        return documents.convert(documents.parse((folder / CARD).read_bytes()), EntryCard)
    return None


def _same_but_pictures(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return {**one, "pictures": ""} == {**other, "pictures": ""}


def _remove_replaced(folder: Path, key: Mapping[str, Any], place: str | None) -> None:
    """The entries of the same place before an edit. Whoever reads one goes on: a mapped file stays until it is let
    go."""
    if place is None:
        return
    for other, card in entries(folder.parent):
        if other != folder and card.place == place and _same_but_pictures(card.key, key):
            shutil.rmtree(other, ignore_errors=True)


def _write(
    folder: Path,
    card: Mapping[str, Any],
    part: Part,
    spec: ImageSpec,
    what: str,
    earlier: Mapping[int, NDArray[np.uint8]],
    progress: Progress | None,
) -> None:
    shape = (part.count, *spec.shape)
    labels, pictures = np.zeros(part.count, np.int64), np.zeros(part.count, np.uint64)
    digest = _start_digest(shape)
    examples = part.examples()
    done = 0
    failed: list[Failure] = []
    noted: list[str] = []
    # Written as a plain file: a full disk gives an OSError there, and a bus error in a memory map.
    with (folder / "images.npy").open("wb") as stream, ThreadPoolExecutor(THREADS) as pool:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)  # type: ignore[no-untyped-call]
        while batch := list(islice(examples, BATCH)):
            if done + len(batch) > part.count:
                break
            made: list[Any] = list(pool.map(lambda example: _pixels(example, spec, earlier, noted), batch))
            failed += [one for one in made if isinstance(one, Failure)]
            labels[done : done + len(batch)] = [example.label for example in batch]
            pictures[done : done + len(batch)] = [example.picture for example in batch]
            if not failed:  # else only the others that cannot be read are still wanted
                encoded = np.stack(made).tobytes()
                stream.write(encoded)
                digest.update(encoded)
            done += len(batch)
            if progress:
                progress(what, done, part.count)
    if failed:
        raise _UnreadableError(failed)
    if done != part.count or batch:
        raise DatasetError(
            f"{what}: {part.source} should have {part.count} examples, and "
            f"{'more' if batch else done} were found. Prepare the data set again."
        )
    if noted:
        logger.warning(f"{what}: {len(noted)} of {done} pictures may not be upright. The first: {min(noted)}.")
    np.save(folder / "labels.npy", labels)
    np.save(folder / "pictures.npy", pictures)
    write_json(
        folder / CARD,
        {**card, "bytes": _sizes(folder), "sha256": _finish_digest(digest, labels)},
    )


# --- pictures that cannot be read ---


class _UnreadableError(Exception):
    """What cannot be read of a part."""

    def __init__(self, failed: list[Failure]) -> None:
        super().__init__(failed[0].message)
        self.failed = failed
        self.first = failed[0].error


def _pixels(
    example: Example, spec: ImageSpec, earlier: Mapping[int, NDArray[np.uint8]], noted: list[str]
) -> NDArray[np.uint8] | Failure:
    """The picture's pixels, or why there are none; what is to be said of it nevertheless is added to `noted`."""
    if (known := earlier.get(example.picture)) is not None:
        return known
    return decode(example, spec, noted.append)


def _all_unreadable(
    dataset: str, found: _UnreadableError, others: Mapping[str, Part], spec: ImageSpec, progress: Progress | None
) -> DatasetError:
    """One error for those found and for those of the other parts, so that one run is enough to know them all."""
    failed = list(found.failed)
    for split, part in others.items():
        examples, done = part.examples(), 0
        with ThreadPoolExecutor(THREADS) as pool:
            while batch := list(islice(examples, BATCH)):
                made = pool.map(lambda example: _pixels(example, spec, {}, []), batch)
                failed += [one for one in made if isinstance(one, Failure)]
                done += len(batch)
                if progress:
                    progress(f"looking for unreadable pictures in {dataset} {split}", done, part.count)
    if len(failed) == 1:
        return DatasetError(f"{failed[0].message} {failed[0].remedy}")
    listed = "\n".join(f"  {one.message}" for one in failed[:_MOST_NAMED])
    more = f"\n  and {len(failed) - _MOST_NAMED} more" if len(failed) > _MOST_NAMED else ""
    remedies = " ".join(dict.fromkeys(one.remedy for one in failed[:_MOST_NAMED]))
    return DatasetError(f"{len(failed)} pictures of {dataset} cannot be read:\n{listed}{more}\n{remedies}")


def _check_room(root: Path, needed: int) -> None:
    free = shutil.disk_usage(root).free
    if needed > free:
        raise OutputError(f"{root} has {free / 1e9:.1f} GB free, and {needed / 1e9:.1f} GB are needed.")
