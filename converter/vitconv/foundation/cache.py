"""The folder for what can be made again, and locks for whoever makes something there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitconv.foundation.errors import OutputError


def cache_directory() -> Path:
    """`$VITCONV_CACHE`, else `$XDG_CACHE_HOME/vitconv`, else `~/.cache/vitconv`."""
    if chosen := os.environ.get("VITCONV_CACHE"):
        return Path(chosen).expanduser()
    # The XDG specification has relative paths ignored.
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (shared if shared.is_absolute() else Path("~/.cache").expanduser()) / "vitconv"


@contextmanager
def lock_beside(folder: Path) -> Iterator[None]:
    """Lets one process (or thread) at a time make `folder`; the system frees it even after a kill."""
    path = folder.with_name(f".{folder.name}.lock")
    try:
        stream = path.open("w")
        fcntl.flock(stream, fcntl.LOCK_EX)
    except OSError as error:
        raise OutputError(f"cannot lock {path}: {error.strerror or error}.") from error
    with stream:
        yield
