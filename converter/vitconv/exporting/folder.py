"""What an export folder holds already, and how a finished export takes its place there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitconv.checkpoints.checkpoint import Checkpoint
from vitconv.exporting import manifest
from vitconv.foundation.errors import InputError, OutputError
from vitconv.foundation.files import sha256, write_json


@dataclass(frozen=True)
class Earlier:
    """What an earlier export of the same checkpoint left in the folder: files that are still whole, and the names
    of all it wrote."""

    files: tuple[Mapping[str, Any], ...] = ()
    calibration: Mapping[str, Any] | None = None
    names: frozenset[str] = frozenset()


def earlier_export(out: Path, checkpoint: Checkpoint) -> Earlier:
    """What is in the folder. Raises InputError where that is an export of another checkpoint."""
    if not (out / manifest.MANIFEST).exists():
        return Earlier()
    document = manifest.read(out).to_json()
    if document["checkpoint"]["sha256"] != checkpoint.card.weights["sha256"]:
        raise InputError(f"{out} holds an export of another checkpoint. Give another --out, or remove it first.")
    return Earlier(
        tuple(entry for entry in document["files"] if _is_whole(out / entry["path"], entry["sha256"])),
        document["calibration"],
        frozenset(entry["path"] for entry in document["files"]),
    )


def _is_whole(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path) == digest


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """A folder inside `out` for what is not finished yet, gone when the block ends."""
    staging = out / ".export.tmp"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir()
        yield staging
    except OSError as error:
        raise OutputError(f"cannot write into {out}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def put_in_place(staging: Path, out: Path, document: Mapping[str, Any], earlier: Earlier) -> None:
    """Renames every file of `staging` to its place in `out`, writes the manifest last, and removes files of the
    earlier export that it doesn't name any more. One that is there already is replaced whole."""
    for source in sorted(staging.rglob("*")):
        target = out / source.relative_to(staging)
        if source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            source.replace(target)
    write_json(out / manifest.MANIFEST, dict(document))
    for name in earlier.names - {entry["path"] for entry in document["files"]}:
        (out / name).unlink(missing_ok=True)
