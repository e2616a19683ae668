"""Trained weights, the settings of Keras, data sets, and room on disk."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from vitconv.cli.doctor.checks import KERAS, Check

_LEAST_FREE = 2 << 30  # bytes; the prepared images of tf_flowers at 256×256 are 0.7 GB


def look() -> Iterator[Check]:
    from vitconv.checkpoints import pretrained
    from vitconv.data.tfds.source import prepared_names, tfds_directory
    from vitconv.foundation.disk.cache import cache_directory

    trained = pretrained.names()
    yield Check(
        "trained weights", ", ".join(trained), (),
        None if trained else "none came with this package",
        None if trained else "Train: `vitconv train mobilevit_xxs --dataset tf_flowers --out runs/flowers`",
    )  # fmt: skip
    yield Check("Keras settings", _keras_settings())
    root = tfds_directory()
    yield Check("data sets", f"digits{''.join(f', {name}' for name in prepared_names())}; tfds folder: {root}")
    yield _room("prepared images", cache_directory(), "Set VITCONV_CACHE to a folder with room.")
    yield _room("downloads", root, "Set TFDS_DATA_DIR to a folder with room.")
    yield _room("this folder", Path.cwd(), "Change to a folder with room.")
    yield _room("temporary files", Path(tempfile.gettempdir()), "Set TMPDIR to a folder with room.")


def _keras_settings() -> str:
    """What the user's own settings ask of Keras; nothing here is a problem, as every command sets its own."""
    asked = {}
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    with suppress(OSError, ValueError, AttributeError):
        known = {"backend": "tensorflow", "floatx": "float32", "image_data_format": "channels_last"}
        settings = json.loads((home / "keras.json").read_text(encoding="utf-8"))
        asked = {name: settings[name] for name, ours in known.items() if settings.get(name, ours) != ours}
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        asked["KERAS_BACKEND"] = os.environ["KERAS_BACKEND"]
    if not asked:
        return "tensorflow, float32, channels_last"
    shown = ", ".join(f"{name} {value}" for name, value in asked.items())
    return f"{shown}; vitconv's commands take tensorflow, float32, channels_last all the same"


def _room(name: str, place: Path, remedy: str) -> Check:
    there = place
    while not there.exists() and there != there.parent:
        there = there.parent
    if not os.access(there, os.W_OK):
        return Check(name, str(place), KERAS, f"nothing can be written into {there}", remedy)
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Check(name, str(place), KERAS, f"cannot be looked at: {error.strerror}", remedy)
    found = f"{place}, {free / 1e9:.0f} GB free" if free >= 10e9 else f"{place}, {free / 1e9:.1f} GB free"
    if free < _LEAST_FREE:
        return Check(name, found, KERAS, f"less than {_LEAST_FREE / 1e9:.0f} GB are free", remedy)
    return Check(name, found)
