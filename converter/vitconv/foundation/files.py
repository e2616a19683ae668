"""Writing files so that nobody ever sees half of one: write beside, then rename."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vitconv.foundation.errors import OutputError


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

    On any exception, Ctrl-C included, `path` is left as it was and the temporary file is removed.
    Raises OutputError where the place cannot be written or the disk is full.
    """
    temporary = _beside(path)
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path` that takes its place when the block ends well.

    A folder already at `path` is replaced as a whole. On any exception it is left as it was.
    """
    temporary = _beside(path)
    old = temporary.with_suffix(".old")
    try:
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.replace(old)
        try:
            temporary.replace(path)
        except OSError:
            if old.exists():
                old.replace(path)
            raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Removes what killed processes left of atomic writes of these files (or glob patterns) of the folder."""
    for name in names:
        for leftover in folder.glob(f".{name}.*.tmp"):
            leftover.unlink(missing_ok=True)


def safe_name(text: str) -> str:
    """`text` as a part of a file's name that every system takes: "cats/large" → "cats-large"."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "-", text)


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}.") from error
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")
