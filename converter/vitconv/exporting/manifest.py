"""manifest.json of an export folder: what is there, from which checkpoint, made by which versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vitconv.conversion import schemes
from vitconv.foundation.errors import InputError
from vitconv.foundation.files import sha256

MANIFEST = "manifest.json"
CALIBRATION = "calibration.json"
LABELS = "labels.txt"
HISTORY = "training.csv"

_KEYS = {
    "model", "checkpoint", "dataset", "labels", "image", "versions", "calibration", "files", "golden",
}  # fmt: skip


def read(folder: Path) -> dict[str, Any]:
    """The manifest of an export folder. Raises InputError where there is none or it is not one.

    `checkpoint.name` is the checkpoint's path as it was given to the export (a relative one is relative to the
    folder that the export was started in), or the name of one that comes with vitconv.
    """
    file = folder / MANIFEST
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{folder} is not an export folder: it has no {MANIFEST}. `vitconv export` makes one."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read {file}: {error}.") from error
    try:
        _check(value)
    except (InputError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{file} is not a manifest of this version: {error}. Export again into another folder."
        ) from error
    return dict(value)


def file_entry(path: Path, scheme: str) -> dict[str, Any]:
    """How the manifest describes a .tflite file."""
    return {"scheme": scheme, "path": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def calibration_entry(folder: Path) -> dict[str, str]:
    """How the manifest describes the folder's calibration file."""
    return {"file": CALIBRATION, "sha256": sha256(folder / CALIBRATION)}


def _check(value: Any) -> None:
    if not isinstance(value, dict) or set(value) != _KEYS:
        raise ValueError(f"it must be a JSON object with the keys {', '.join(sorted(_KEYS))}")
    if not value["files"]:
        raise ValueError("it names no files")
    for entry in value["files"]:
        schemes.find(entry["scheme"])
        path = entry["path"]
        if not isinstance(path, str) or Path(path).name != path or not path.endswith(".tflite"):
            raise ValueError(f"{path!r} is not the name of a .tflite file in this folder")
        _check_texts(entry, ("sha256",))
    _check_texts(value["checkpoint"], ("name", "sha256"))
    _check_texts(value["dataset"], ("name",))


def _check_texts(value: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if not isinstance(value[name], str):
            raise ValueError(f"{name} must be a text, not {value[name]!r}")
