"""One writer at a time for a folder that somebody's work goes into."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vitconv.foundation.errors import OutputError


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Has the folder, which must be there, for this thread alone while the block runs; the system lets go of it
    even after a kill. The lock is a hidden file in the folder.

    Raises OutputError at once where another command, or another thread of this one, is writing into it.
    """
    from filelock import FileLock, Timeout

    path = folder.resolve() / ".vitconv.lock"
    lock = FileLock(path, timeout=0, is_singleton=False)
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"another vitconv is writing into {folder}. Wait until it has ended, or give another folder."
        ) from None
    except OSError as error:
        raise OutputError(f"cannot lock {path}: {error.strerror or error}. Give another folder.") from error
    try:
        yield
    finally:
        # While the lock is still held: whoever opened the file before finds it gone, and says "another".
        with suppress(OSError):  # Windows removes no open file
            path.unlink(missing_ok=True)
        lock.release()
