"""What an export folder was made from: its checkpoint, and the pictures to try its files on."""

from __future__ import annotations

from pathlib import Path

import msgspec

from vitconv.checkpoints import pretrained
from vitconv.classifiers.float_model import FloatModel
from vitconv.classifiers.foreign_paths import is_foreign
from vitconv.classifiers.opening import open_again
from vitconv.classifiers.own import OwnModel
from vitconv.data.datasets import Dataset, open_pictures
from vitconv.exporting.manifest import Manifest
from vitconv.foundation import documents
from vitconv.foundation.errors import CheckpointError, InputError
from vitconv.foundation.progress import Progress


def open_original(folder: Path, document: Manifest, moved_to: Path | None, code: Path | None) -> FloatModel:
    """The checkpoint that the manifest names, or where it has moved to; `code` is the file with the classes of a
    Keras model, if it has such.

    Raises CheckpointError where it is not there, and InputError where its weights are others.
    """
    path = moved_to or Path(document.checkpoint.name)
    foreign = None if document.told is msgspec.UNSET else document.told
    there = path.is_dir() or pretrained.folder(str(path)) is not None or (foreign is not None and path.exists())
    if moved_to is None and not there:
        raise CheckpointError(
            f"{folder} was exported from the checkpoint {path}, which does not exist"
            f"{'' if path.is_absolute() else f' (looked up from {Path.cwd()})'}. "
            "Give its present place with --checkpoint."
        )
    if foreign is None:
        model: FloatModel = OwnModel.open(path)
    elif is_foreign(path):
        model = open_again(path, documents.to_json(foreign), document.labels, document.image.spec, code)
    else:
        raise CheckpointError(f"{path} is not the file that {folder} was exported from. Give that (--checkpoint).")
    if model.digest != document.checkpoint.sha256:
        raise InputError(
            f"{folder} was exported from other weights than those in {path}. "
            "Export again, or name the right checkpoint with --checkpoint."
        )
    return model


def open_dataset(
    document: Manifest,
    model: FloatModel,
    name: str | None,
    images: Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """The data set of that name, or the folder of pictures without classes; else what an export of another tool's
    file was given, or what a checkpoint was trained on."""
    if images is not None:
        return open_pictures(images, progress)
    kept = None if document.told is msgspec.UNSET else document.told.pictures
    if name is None and kept is not None:
        if kept.labelled:
            return model.open_dataset(kept.source)
        return open_pictures(Path(kept.source), progress)
    return model.open_dataset(name)
