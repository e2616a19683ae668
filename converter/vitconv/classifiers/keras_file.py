"""A .keras file of somebody else's. It is opened in Keras's safe mode, in which it cannot execute anything."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitconv.classifiers.traced import Traced
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.foundation.keras_settings import require_keras
from vitconv.foundation.quiet import native_output

if TYPE_CHECKING:
    import keras

_PICKLE, _HDF5, _ZIP = b"\x80", b"\x89HDF", b"PK"
# Layers that change the size of pictures, and no values.
_NO_CHANGE = ("Resizing", "CenterCrop", "ZeroPadding2D")
# Of pixels from 0 to 255 the mean is above 2, and what scales them is a hundredth or so.
_LARGE_MEAN, _SMALL_SCALE = 2.0, 0.1
_MISSING = re.compile(r"[Cc]ould not locate (?:class|function) '([^']+)'")


def open_keras(path: Path, code: Path | None) -> Traced:
    """`code`: a Python file with the model's own classes and functions, which is executed.

    Raises ModelFileError for what is no Keras file, and no classifier of pictures; InputError for code that fails.
    """
    _check_container(path)
    require_keras()
    import keras

    own = _objects_of(code) if code else {}
    with native_output():
        try:
            model = keras.saving.load_model(path, custom_objects=own, compile=False, safe_mode=True)
        except Exception as error:
            raise ModelFileError(_why_not(path, error, code)) from error
    return traced(path, model)


def traced(path: Path, model: keras.Model) -> Traced:
    """A loaded model, if it is one of float32 with one input of pictures."""
    _check_numbers(path, model)
    shape = _input_shape(path, model)
    return Traced(path, lambda images: model(images, training=False), shape, _scales_pixels(model))


def _scales_pixels(model: keras.Model) -> bool:
    """Whether the first layer that does something to pixels from 0 to 255 scales them down."""
    import keras

    for layer in getattr(model, "layers", ()):
        name = type(layer).__name__
        if isinstance(layer, keras.layers.InputLayer) or name.startswith("Random") or name in _NO_CHANGE:
            continue
        if isinstance(layer, keras.Model):
            if all(type(inner).__name__.startswith("Random") for inner in layer.layers[-1:]):
                continue  # augmentation
            return _scales_pixels(layer)
        if isinstance(layer, keras.layers.Rescaling):
            return bool(np.max(np.abs(layer.scale)) < _SMALL_SCALE)
        if isinstance(layer, keras.layers.Normalization):
            return bool(np.max(np.abs(layer.mean)) > _LARGE_MEAN)
        return False
    return False


def _check_container(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror or error}.") from error
    if start.startswith(_HDF5):
        raise ModelFileError(
            f"{path} is an HDF5 file, as Keras 2 wrote them, which may execute what is in it. Open it in Keras "
            "and save it as .keras."
        )
    if start.startswith(_PICKLE):
        raise ModelFileError(f"{path} is a Python pickle, which may execute what is in it, and no .keras file.")
    if path.suffix != ".keras" and not start.startswith(_ZIP):
        raise ModelFileError(
            f"{path} is no model. Give a checkpoint folder, a .keras file, a SavedModel's folder or a "
            "float .tflite file."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ModelFileError(
            f"{path} is no .keras file, or an incomplete one: {error}. Save the model again with model.save()."
        ) from error
    for needed in ("config.json", "metadata.json", "model.weights.h5"):
        if needed not in names:
            raise ModelFileError(
                f"{path} is no .keras file: it has no {needed}. Save the model again with model.save()."
            )


def _objects_of(code: Path) -> dict[str, Any]:
    """What the file defines, by name."""
    try:
        name = f"vitconv_code_{hashlib.sha256(code.read_bytes()).hexdigest()[:16]}"
    except OSError as error:
        raise InputError(f"cannot read the code {code}: {error.strerror or error}. Give a Python file.") from error
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, code)
        if spec is None or spec.loader is None:
            raise InputError(f"{code} is no Python file: its name must end in .py.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException as error:
            del sys.modules[name]
            if isinstance(error, KeyboardInterrupt):
                raise
            raise InputError(
                f"the code {code} fails when it is executed: {type(error).__name__}: {error}"
            ) from error
    found = vars(sys.modules[name])
    return {
        key: value
        for key, value in found.items()
        if callable(value) and getattr(value, "__module__", None) == name
    }


def _why_not(path: Path, error: Exception, code: Path | None) -> str:
    text = " ".join(str(error).split())
    missing = _MISSING.search(text)
    if missing:
        where = f"{code} does not define it" if code else "Give the Python file that defines it: --code FILE.py"
        return f"{path} has a layer of the class {missing[1]}, which Keras does not have. {where}."
    if "ambda" in text and ("safe" in text or "arbitrary" in text):
        return (
            f"{path} has a Lambda layer, whose Python code would be executed when it is opened. Write it as a "
            "layer class, save the model again, and give the class with --code FILE.py."
        )
    return f"Keras cannot open {path}: {type(error).__name__}: {text[:300]}"


def _check_numbers(path: Path, model: keras.Model) -> None:
    for variable in model.weights:
        if not variable.dtype.startswith(("float", "bfloat")):
            continue
        if variable.dtype != "float32":
            raise ModelFileError(
                f"{path} has weights of {variable.dtype} ({variable.path}). Save it in float32: vitconv makes "
                "smaller files from that."
            )
        values = variable.numpy()
        if not np.isfinite(values).all():
            raise ModelFileError(
                f"{path} has {np.sum(~np.isfinite(values))} weights that are NaN or infinite ({variable.path}). "
                "Its training has failed; save an earlier state of it."
            )
    for layer in model._flatten_layers():
        if layer.compute_dtype not in (None, "float32"):
            raise ModelFileError(
                f"{path} computes in {layer.compute_dtype} (layer {layer.name}). Build it with "
                "keras.config.set_dtype_policy('float32'), load its weights, and save it again."
            )


def _input_shape(path: Path, model: keras.Model) -> tuple[int | None, int | None, int | None]:
    shapes = _input_shapes(model)
    if len(shapes) > 1:
        raise ModelFileError(
            f"{path} takes {len(shapes)} inputs: {', '.join(str(list(one)) for one in shapes)}. A classifier of "
            "pictures takes one."
        )
    if not shapes:
        raise ModelFileError(
            f"{path} does not say what it takes. Call the model on a batch of pictures before you save it."
        )
    (shape,) = shapes
    if len(shape) != 4:
        raise ModelFileError(
            f"{path} takes values of the shape {list(shape)}; a classifier of pictures takes [N, height, width, "
            "3]."
        )
    height, width, channels = shape[1:]
    if channels not in (None, 3):
        order = " (channels first: build it with channels last)" if height == 3 else ""
        raise ModelFileError(
            f"{path} takes pictures of {channels} channels, {list(shape)}, and vitconv gives it red, green and "
            f"blue{order}. Put a layer in front that makes its {channels} of 3."
        )
    return height, width, channels


def _input_shapes(model: keras.Model) -> list[tuple[int | None, ...]]:
    inputs = getattr(model, "inputs", None)
    if inputs:
        return [tuple(one.shape) for one in inputs]
    built = model.get_build_config() or {}
    shape = built.get("input_shape") or next(iter(built.get("shapes_dict", {}).values()), None)
    if isinstance(shape, dict):
        return [tuple(one) for one in shape.values()]
    if shape and isinstance(shape[0], (list, tuple)):
        return [tuple(one) for one in shape]
    return [tuple(shape)] if shape else []
