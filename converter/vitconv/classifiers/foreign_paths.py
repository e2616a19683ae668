"""Which paths are models of other tools. Loads nothing, so that a command can ask before TensorFlow is there."""

from __future__ import annotations

from pathlib import Path

SAVED_MODEL = "saved_model.pb"


def is_foreign(path: Path) -> bool:
    """Whether a path is a file of another tool, or its folder, and not a checkpoint's folder or name."""
    return path.is_file() or (path / SAVED_MODEL).is_file()
