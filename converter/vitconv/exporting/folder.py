"""What an export folder holds already, and how a finished export takes its place there.

    .export.tmp/      what is not finished yet
    .export.ready/    all that a finished export has, while it is moved to its place; a kill meanwhile leaves the
                      rest of it there, and the next export moves that

Only files that an export made are replaced: those that the folder's manifest names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitconv.classifiers.float_model import FloatModel
from vitconv.exporting import golden, manifest
from vitconv.foundation.disk.files import blaming, sha256, write_json
from vitconv.foundation.disk.writing import writing
from vitconv.foundation.errors import InputError

_UNFINISHED, _READY = ".export.tmp", ".export.ready"
_MOST_NAMED = 3


@dataclass(frozen=True)
class Earlier:
    """What an earlier export of the same checkpoint left in the folder: models that are still whole."""

    files: tuple[Mapping[str, Any], ...] = ()
    calibration: Mapping[str, Any] | None = None


@contextmanager
def export_folder(out: Path, model: FloatModel, names: Iterable[str]) -> Iterator[tuple[Path, Earlier]]:
    """Has the folder for this export alone. Gives a folder inside it for what is not finished yet, gone when the
    block ends, and what is there already. `names` are the files that the export will write, as far as known.

    Raises OutputError where another process is writing there, InputError where the folder holds an export of
    another checkpoint, or files of these names that no export made.
    """
    with writing(out), blaming(out):
        if (out / _READY).is_dir():
            _move(out)
        earlier = _earlier_export(out, model)
        _check_places(out, names)
        staging = out / _UNFINISHED
        shutil.rmtree(staging, ignore_errors=True)
        try:
            staging.mkdir()
            yield staging, earlier
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def put_in_place(staging: Path, out: Path, document: Mapping[str, Any]) -> None:
    """Moves every file of `staging` to its place in `out`, the manifest last, and removes files of the earlier
    export that it doesn't name any more. One that is there already is replaced whole.

    Raises InputError, and changes nothing, where that would replace what no export made.
    """
    write_json(staging / manifest.MANIFEST, dict(document))
    _check_places(out, _names_in(staging), staging)
    shutil.rmtree(out / _READY, ignore_errors=True)
    staging.replace(out / _READY)
    _move(out)


def _move(out: Path) -> None:
    """What is ready in `out`, all or the rest of it, to its place."""
    ready = out / _READY
    if (ready / manifest.MANIFEST).is_file():
        names = _names_in(ready)
        _check_places(out, names, ready)
        superseded = _made_by(out) - _made_by(ready)
        (out / golden.FOLDER).mkdir(exist_ok=True)
        for name in sorted(names - {manifest.MANIFEST}):
            (ready / name).replace(out / name)
        for name in superseded:
            (out / name).unlink(missing_ok=True)
        (ready / manifest.MANIFEST).replace(out / manifest.MANIFEST)
    shutil.rmtree(ready, ignore_errors=True)


def _earlier_export(out: Path, model: FloatModel) -> Earlier:
    if not (out / manifest.MANIFEST).exists():
        return Earlier()
    document = manifest.read(out).to_json()
    if document["checkpoint"]["sha256"] != model.digest:
        raise InputError(f"{out} holds an export of another checkpoint. Give another --out, or remove it first.")
    return Earlier(
        tuple(entry for entry in document["files"] if _is_whole(out / entry["path"], entry["sha256"])),
        document["calibration"],
    )


def _is_whole(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path) == digest


def _check_places(out: Path, names: Iterable[str], new: Path | None = None) -> None:
    """Raises InputError where one of these files is there, or something of its name, and no export made it. What
    is the same in the folder `new`, byte for byte, is not lost."""
    ours = _made_by(out)
    foreign = [name for name in sorted(names) if _is_foreign(out, name, ours, new)]
    folder = out / golden.FOLDER
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
        foreign = [golden.FOLDER, *(name for name in foreign if not name.startswith(f"{golden.FOLDER}/"))]
    if foreign:
        shown = ", ".join(str(out / name) for name in foreign[:_MOST_NAMED])
        more = f" and {len(foreign) - _MOST_NAMED} more" if len(foreign) > _MOST_NAMED else ""
        them = "it" if len(foreign) == 1 else "them"
        raise InputError(
            f"{shown}{more} would be replaced, but no export made {them}: {out / manifest.MANIFEST} does not name "
            f"{them}. Give another --out, or move what is yours away."
        )


def _is_foreign(out: Path, name: str, ours: frozenset[str], new: Path | None) -> bool:
    path = out / name
    if not os.path.lexists(path):
        return False
    if path.is_dir():
        return True
    return name not in ours and not (new and path.is_file() and sha256(path) == sha256(new / name))


def _made_by(folder: Path) -> frozenset[str]:
    """All files that an export wrote, as the folder's manifest has it; none where there is no manifest that can be
    read, which `_earlier_export` says."""
    try:
        document = manifest.read(folder)
    except InputError:
        return frozenset()
    names = {manifest.MANIFEST, *(file.path for file in document.files)}
    if document.calibration is not None:
        names.add(document.calibration.file)
    if document.digests:
        return frozenset({*names, *document.digests})
    # Earlier versions named no others, and wrote these.
    return frozenset({*names, manifest.LABELS, manifest.HISTORY, *golden.NAMES})


def _names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
