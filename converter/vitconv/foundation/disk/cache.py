"""The folder for what can be made again, and locks for whoever makes something there."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vitconv.foundation.errors import OutputError


def cache_directory() -> Path:
    """`$VITCONV_CACHE`, else the system's own place; on Linux `$XDG_CACHE_HOME/vitconv`, else `~/.cache/vitconv`.

    Raises OutputError where neither says a folder, as for a user without a home.
    """
    from platformdirs import user_cache_path

    try:
        if chosen := os.environ.get("VITCONV_CACHE"):
            return Path(chosen).expanduser()
        return user_cache_path("vitconv", appauthor=False)
    except RuntimeError as error:  # there is no home folder
        raise OutputError(f"there is no place for a cache: {error}. Set VITCONV_CACHE to a folder.") from error


def entry_name(name: str, key: Any) -> str:
    """What a cache entry is called: `name` as far as file names take it, and a digest of `key`, a JSON value."""
    short = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    return f"{re.sub(r'[^a-zA-Z0-9_-]+', '_', name)[:60]}-{short}"


@contextmanager
def lock_beside(folder: Path, wait_s: float = -1) -> Iterator[Path]:
    """Lets one process (or thread) at a time make `folder`; the system frees it even after a kill. Gives the
    lock's file. Raises OutputError where another has it after so many seconds, -1 for any number."""
    from filelock import FileLock, Timeout

    path = folder.with_name(f".{folder.name}.lock")
    lock = FileLock(path, timeout=wait_s)
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(f"another vitconv is making {folder}. Wait until it has ended.") from None
    except OSError as error:
        raise OutputError(f"cannot lock {path}: {error.strerror or error}.") from error
    try:
        yield path
    finally:
        lock.release()
