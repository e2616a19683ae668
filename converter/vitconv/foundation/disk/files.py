"""Writing files so that nobody ever sees half of one: write beside, then rename."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vitconv.foundation.errors import OutputError

_NEW, _OLD = ".tmp", ".old"  # the ends of names: what is not whole yet, and a folder that another one replaces
_ATTEMPTS = 100
# What the system says of files that are written; it names none in them.
_OF_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # NumPy's words for the same


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what is written there becomes `path` when the block ends well.

    On any exception, Ctrl-C included, `path` is left as it was and the temporary file is removed. Several threads
    or processes may write the same file: one after the other is seen, each whole.
    Raises OutputError where the place cannot be written or the disk is full; an error of another file, which the
    block reads, is raised as it is.
    """
    temporary = _beside(path)
    try:
        with blaming(path, temporary):
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


# A thread must not take another's folder, moved away for a moment, for what a kill left.
_SWAPPING = threading.Lock()


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path` that takes its place when the block ends well.

    A folder already at `path` is replaced as a whole. On any exception it is left as it was, and after a kill at
    the worst moment, when it is moved away and the new one is not there yet, the next call moves it back.
    Otherwise as `atomic_write`.
    """
    with _SWAPPING:
        restore_directory(path)
    temporary = _beside(path)
    old = temporary.with_suffix(_OLD)
    try:
        with blaming(path, temporary, old):
            temporary.mkdir()
            yield temporary
            with _SWAPPING:
                _take_the_place_of(path, temporary, old)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with _SWAPPING:  # else `path` may be away for a moment, and `old` stay
            if path.exists():
                shutil.rmtree(old, ignore_errors=True)


def restore_directory(path: Path) -> None:
    """Moves a folder back that a killed `atomic_directory` had moved away; does nothing where `path` is there."""
    if os.path.lexists(path):
        return
    # Each is whole; the one that was there last is what a reader has seen.
    for old in sorted(path.parent.glob(f".{glob.escape(path.name)}.*{_OLD}"), key=_moved, reverse=True):
        # It may be in use by a living process, which then moves it away once more.
        with suppress(OSError):
            old.replace(path)
            return


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Removes what killed processes left of atomic writes of these files and folders (or glob patterns).

    Only for whoever knows that nobody else is writing them.
    """
    for name in names:
        for leftover in (*folder.glob(f".{name}.*{_NEW}"), *folder.glob(f".{name}.*{_OLD}")):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def writable_directory(path: Path) -> Path:
    """Makes `path` (and its parents) a folder that files can be written into, or raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OutputError(f"cannot write into {path}: {error.strerror or error}. Give another folder.") from error
    return path


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file atomically."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically, line ends as they are."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON document atomically, indented, with a newline at its end."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _beside(path: Path) -> Path:
    """A name that no other thread, process or machine takes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}.") from error
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}{_NEW}")


def _take_the_place_of(path: Path, temporary: Path, old: Path) -> None:
    """Renames a folder to `path`; what is there goes to `old`. Others may do the same at the same time."""
    try:
        for _ in range(_ATTEMPTS):
            try:
                temporary.replace(path)
                return
            except OSError as error:
                if not _is_in_the_way(path, error):
                    raise
            shutil.rmtree(old, ignore_errors=True)  # from the attempt before: somebody else's folder came since
            with suppress(FileNotFoundError):  # somebody else has moved it away
                path.replace(old)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            old.replace(path)
        raise


def _is_in_the_way(path: Path, error: OSError) -> bool:
    """Whether the error says that there is a folder, so that another one can't take its place."""
    # Windows says only that it may not.
    return error.errno in (errno.ENOTEMPTY, errno.EEXIST) or (os.name == "nt" and path.is_dir())


def _moved(path: Path) -> int:
    """When a folder was renamed, as far as the system notes it."""
    try:
        return path.stat().st_ctime_ns
    except OSError:
        return 0


@contextmanager
def blaming(path: Path, *ours: Path) -> Iterator[None]:
    """Turns an error of writing `path`, or one of `ours`, into an OutputError."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EIO and error.filename is None:
            # Nobody says whether it was what is written or what is read for it.
            raise OutputError(f"stopped while writing {path}: {error.strerror}.") from error
        if not _is_of_writing(error, (path, *ours)):
            raise
        raise OutputError(f"cannot write {path}: {error.strerror or error}.") from error


def _is_of_writing(error: OSError, places: Iterable[Path]) -> bool:
    """Whether it is about one of these places, and not about something that was read meanwhile."""
    if error.errno in _OF_WRITING or (error.errno is None and _SHORT_WRITE.search(str(error))):
        return True
    names = [name for name in (error.filename, error.filename2) if isinstance(name, (str, bytes, os.PathLike))]
    named = [Path(os.fsdecode(name)).absolute() for name in names]
    return any(name.is_relative_to(place.absolute()) for name in named for place in places)
