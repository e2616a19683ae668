"""A TensorFlow SavedModel of somebody else's: its serving signature."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from vitconv.classifiers.foreign_paths import SAVED_MODEL
from vitconv.classifiers.traced import Traced
from vitconv.foundation.errors import ModelFileError
from vitconv.foundation.quiet import native_output

_SIGNATURE = "serving_default"


def open_saved_model(path: Path) -> Traced:
    """Raises ModelFileError for what is no SavedModel, and no classifier of pictures."""
    import tensorflow as tf

    with native_output():
        try:
            loaded = tf.saved_model.load(str(path))
        except Exception as error:
            raise ModelFileError(f"TensorFlow cannot open the SavedModel {path}: {_line(error)}") from error
    signature = loaded.signatures.get(_SIGNATURE)
    if signature is None:
        known = ", ".join(loaded.signatures) or "none"
        raise ModelFileError(
            f"{path} has no signature {_SIGNATURE!r} (it has {known}). Save it again with model.export()."
        )
    inputs: dict[str, Any] = signature.structured_input_signature[1]
    if len(inputs) != 1:
        raise ModelFileError(
            f"{path} takes {len(inputs)} inputs ({', '.join(inputs)}). A classifier of pictures takes one."
        )
    ((name, spec),) = inputs.items()
    shape = None if spec.shape.rank is None else spec.shape.as_list()
    if shape is None or len(shape) != 4 or shape[3] not in (None, 3) or spec.dtype != tf.float32:
        raise ModelFileError(
            f"{path} takes {spec.dtype.name} of the shape {shape}; a classifier of pictures takes float32 "
            "[N, height, width, 3]."
        )

    # The signature holds the variables through the loaded object alone.
    def call(images: Any, _loaded: Any = loaded) -> Any:
        return signature(**{name: images})

    return Traced(path, call, (shape[1], shape[2], shape[3]))


def digest_of(path: Path) -> str:
    """SHA-256 (hex) over its graph and its variables."""
    whole = hashlib.sha256()
    for file in (path / SAVED_MODEL, *sorted((path / "variables").glob("*"))):
        whole.update(file.name.encode() + file.read_bytes())
    return whole.hexdigest()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
