"""One writer at a time for a folder, or a file, that somebody's work goes into."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vitconv.foundation.errors import OutputError

# What systems say where the file system, most often one of a network, has no locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}

logger = logging.getLogger("vitconv")


@contextmanager
def writing(place: Path, wait_s: float = 0) -> Iterator[None]:
    """Has a folder, which must be there, or a file for this thread alone while the block runs; the system lets go
    of it even after a kill. The lock is a hidden file in the folder, or beside the file.

    Where another command, or another thread of this one, is writing there, it waits so many seconds and then
    raises OutputError; also where the lock cannot be made. On a file system without locks it goes on, with a word
    to the logger "vitconv".
    """
    from filelock import FileLock, Timeout

    path = _lock_of(place)
    lock = FileLock(path, timeout=wait_s, is_singleton=False)
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"another vitconv is writing into {place}. Wait until it has ended, or give another folder."
        ) from None
    except NotImplementedError:
        _say_that_nothing_is_locked(place)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise OutputError(_cannot(path, error)) from error
        _say_that_nothing_is_locked(place)
    try:
        yield
    finally:
        if lock.is_locked:
            # While it still is: whoever opened the file before finds it gone, and says "another".
            with suppress(OSError):  # Windows removes no open file
                path.unlink(missing_ok=True)
            lock.release()


def _lock_of(place: Path) -> Path:
    """The same for every name of the place."""
    if place.is_dir():
        return place.resolve() / ".vitconv.lock"
    return place.parent.resolve() / f".{place.name}.lock"


def _say_that_nothing_is_locked(place: Path) -> None:
    logger.warning(
        f"the file system of {place} has no locks: see to it that no other vitconv writes there meanwhile."
    )


def _cannot(path: Path, error: OSError) -> str:
    remedy = "Give another folder."
    if os.path.lexists(path):  # another user's, or something else of that name
        remedy = "Remove that file if no vitconv is writing there, or give another folder."
    return f"cannot lock {path}: {error.strerror or error}. {remedy}"
