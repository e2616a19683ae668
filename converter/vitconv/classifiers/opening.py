"""A name or a path → the float model that it stands for, with what its owner says of it checked."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.checkpoints import published
from vitconv.classifiers import saved_model
from vitconv.classifiers.float_model import FloatModel
from vitconv.classifiers.foreign import ForeignModel, Opened, answers_of
from vitconv.classifiers.foreign_paths import is_foreign
from vitconv.classifiers.own import OwnModel
from vitconv.classifiers.published import PublishedModel, as_opened, build
from vitconv.classifiers.told import CANDIDATES, PIXELS, RAW, Pixels, PixelsNotToldError, Told, code_entry
from vitconv.data.datasets import Dataset, labels_of
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.pictures.photographs import sample_photographs
from vitconv.foundation.disk.files import sha256
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.foundation.progress import Progress
from vitconv.tflite import metadata
from vitconv.tflite.flatbuffer import IDENTIFIER
from vitconv.tflite.graph import Graph

logger = logging.getLogger("vitconv")

_SUM_ERROR = 1e-3  # of probabilities
_SAME = 1e-5  # what two runs on the same pictures may differ by
_LEAST_PICTURES = 20  # below which nothing is said of accuracy
_CLEARLY = 0.2  # of the pictures, that other pixels have more right


def open_model(path: Path, told: Told, dataset: str | None = None, progress: Progress | None = None) -> FloatModel:
    """The model of that name or path. A foreign one takes its labels from the data set where `told` has none.

    Raises CheckpointError, ModelFileError, or InputError that says what has to be told.
    """
    if not is_foreign(path):
        if told.given:
            raise InputError(
                f"{' and '.join(told.given)} {'are' if len(told.given) > 1 else 'is'} for files of other tools; "
                f"the checkpoint {path} knows. Leave it out."
            )
        return OwnModel.open(path)
    if path.name.endswith(published.SUFFIX):
        return _published(path, told, dataset, progress)
    opened, told, described = _opened(path, told)
    image = described or _image(path, opened, told)
    if told.pixels is None:
        if not opened.scales_pixels:
            raise PixelsNotToldError(
                f"{path} does not say what it takes for a pixel. Tell with --pixels, what it was trained on: "
                f"{PIXELS}."
            )
        told = replace(told, pixels=RAW)
    assert told.pixels is not None
    photographs = sample_photographs(image)
    found = _twice(path, opened, photographs, told.pixels)
    softmax = _gives_logits(path, found)
    labels = told.labels or _labels_of(path, dataset, found.shape[1], progress)
    _check_labels(path, labels, found.shape[1])
    digest = saved_model.digest_of(path) if path.is_dir() else sha256(path)
    return ForeignModel(path, digest, opened, image, labels, told.pixels, softmax, told.code)


def open_again(
    path: Path, card: Mapping[str, Any], labels: Sequence[str], image: ImageSpec, code: Path | None
) -> FloatModel:
    """A foreign model whose card an export kept. Its own code is executed only where the user names it anew.

    Raises InputError where it has code and none is named, or another.
    """
    kept = card.get("code")
    if kept is not None and code is None:
        raise InputError(
            f"{path} has classes of its own, in {kept['file']} when it was exported. Name that file with --code "
            "to have it executed."
        )
    if kept is not None and code is not None and code_entry(code)["sha256"] != kept["sha256"]:
        logger.warning(f"{code} is not as it was when {path} was exported.")
    told = Told(Pixels.parse(card["pixels"]), tuple(labels), (image.height, image.width), code)
    if path.name.endswith(published.SUFFIX):
        return _published(path, told)
    opened, _, _ = _opened(path, told)
    digest = saved_model.digest_of(path) if path.is_dir() else sha256(path)
    return ForeignModel(
        path, digest, opened, image, tuple(labels), told.pixels or RAW, bool(card["softmax"]), code
    )


def _published(path: Path, told: Told, dataset: str | None = None, progress: Progress | None = None) -> FloatModel:
    weights = published.read(path)
    network, image = build(weights, told.image_size)
    labels = told.labels or _labels_of(path, dataset, weights.classes, progress)
    _check_labels(path, labels, weights.classes)
    if told.pixels not in (None, RAW) or told.code is not None:
        raise InputError(
            f"{path} has weights of {weights.network}, which scales pixels from 0 to 255 itself and needs no "
            "code. Leave "
            "--pixels and --code out."
        )
    return PublishedModel(
        path, sha256(path), as_opened(path, network, image), image, labels, RAW, False, network=network
    )


def check_answers(model: FloatModel, dataset: Dataset, progress: Progress | None = None) -> None:
    """Looks at a few answers of a foreign model: are pixels what it was trained on, and labels in its order?

    Raises InputError where other pixels give clearly better answers. Doubts go to the logger "vitconv".
    """
    if not isinstance(model, ForeignModel):
        return
    split = dataset.split(dataset.evaluation_name, model.image, progress)
    if len(split) < _LEAST_PICTURES:
        return
    chosen = np.unique(np.linspace(0, len(split) - 1, min(64, len(split))).round().astype(int))
    images, labels = split.images[chosen], np.asarray(split.labels)[chosen]
    given = {one.text: answers_of(model.opened, images, one, False) for one in (model.pixels, *CANDIDATES)}
    if dataset.labelled:
        scores = {text: float(np.mean(found.argmax(1) == labels)) for text, found in given.items()}
        own = scores[model.pixels.text]
        best = max(scores, key=lambda text: scores[text])
        if scores[best] > own + _CLEARLY:
            raise InputError(
                f"--pixels {model.pixels.text} looks wrong: with it {model.path} names the right class for "
                f"{own:.0%} of "
                f"{len(images)} pictures, with --pixels {best} for {scores[best]:.0%}."
            )
        if own < 2 / len(model.labels) and len(model.labels) > 2:
            logger.warning(
                f"the answers of {model.path} look like noise: it names the right class for {own:.0%} of "
                f"{len(images)} pictures of {len(model.labels)} classes. Are the labels in the order of its "
                "outputs, "
                f"and pixels {model.pixels.text}?"
            )
        return
    kinds = {text: len(set(found.argmax(1).tolist())) for text, found in given.items()}
    if kinds[model.pixels.text] == 1 and max(kinds.values()) > 2:
        best = max(kinds, key=lambda text: kinds[text])
        logger.warning(
            f"{model.path} names the same class for {len(images)} pictures with --pixels {model.pixels.text}, and "
            f"{kinds[best]} classes with --pixels {best}. Are its pixels what it was trained on?"
        )


def _opened(path: Path, told: Told) -> tuple[Opened, Told, ImageSpec | None]:
    """The file, what is told of it, with what it says itself, and its picture where it says that."""
    if path.is_dir():
        return saved_model.open_saved_model(path), told, None
    with path.open("rb") as stream:
        start = stream.read(8)
    if start[4:8] == IDENTIFIER or path.suffix == ".tflite":
        from vitconv.classifiers.tflite_file import open_tflite

        file = open_tflite(path)
        return (file, *_with_metadata(file.source, told))
    from vitconv.classifiers.keras_file import open_keras

    return open_keras(path, told.code), told, None


def _with_metadata(graph: Graph, told: Told) -> tuple[Told, ImageSpec | None]:
    """What is not told from the file's metadata, where it has some."""
    try:
        described, scaling = metadata.read(graph), metadata.read_normalization(graph)
    except ModelFileError:
        return told, None
    if scaling is not None and told.pixels is None:
        mean, std = (tuple(value / 255 for value in values) for values in scaling)
        if len(mean) == len(std):
            text = ",".join(f"{value:.9g}" for value in (*mean, *std))
            told = replace(told, pixels=Pixels(RAW.text if scaling == ((0.0,), (1.0,)) else text, mean, std))
    if described is None:
        return told, None
    return replace(told, labels=told.labels or described.labels), described.image


def _image(path: Path, opened: Opened, told: Told) -> ImageSpec:
    height, width, _ = opened.input_shape
    if told.image_size is not None:
        wanted = told.image_size
        if (height or wanted[0], width or wanted[1]) != wanted:
            raise InputError(
                f"{path} takes pictures of {height}×{width} pixels, not {wanted[0]}×{wanted[1]}. Leave "
                "--image-size out."
            )
        height, width = wanted
    if height is None or width is None:
        raise InputError(
            f"{path} leaves the size of its pictures open ({height or '?'}×{width or '?'}). Say what it was "
            "trained on "
            "with --image-size, as 224 or 192x256."
        )
    return ImageSpec(height, width)


def _twice(path: Path, opened: Opened, images: NDArray[np.uint8], pixels: Pixels) -> NDArray[np.float32]:
    """What the file gives, asked twice."""
    first, second = (answers_of(opened, images, pixels, False) for _ in range(2))
    if not np.isfinite(first).all():
        raise ModelFileError(
            f"{path} gives NaN or infinity for a photograph with --pixels {pixels.text}: its weights are broken, "
            "or pixels are not what it was trained on."
        )
    if np.abs(first - second).max() > _SAME * max(1.0, float(np.abs(first).max())):
        raise ModelFileError(
            f"{path} answers differently when it is asked twice (by {np.abs(first - second).max():.2g}): dropout "
            "or augmentation runs when it answers. Save a model without it."
        )
    if first.shape[1] < 2:
        raise ModelFileError(
            f"{path} gives a single value a picture, and vitconv takes classifiers of at least 2 classes. End it "
            "in 2 "
            "outputs and a softmax."
        )
    return first


def _gives_logits(path: Path, found: NDArray[np.float32]) -> bool:
    """Whether its outputs are no probabilities yet. Raises ModelFileError where they are several sigmoids'."""
    if np.abs(found.sum(axis=1) - 1).max() < _SUM_ERROR and found.min() > -_SUM_ERROR:
        return False
    if found.min() >= 0 and found.max() <= 1:
        raise ModelFileError(
            f"{path} gives values from {found.min():.2g} to {found.max():.2g} that sum to "
            f"{found.sum(axis=1).mean():.3g}: "
            "it looks like a sigmoid for each class, for pictures of several things. vitconv takes classifiers "
            "that choose one class (softmax, or logits)."
        )
    return True


def _labels_of(path: Path, dataset: str | None, classes: int, progress: Progress | None) -> tuple[str, ...]:
    if dataset is None:
        raise InputError(
            f"{path} has {classes} outputs and no labels. Give them with --labels FILE (one a line, in the order "
            "of the outputs), or a data set with these classes (--dataset)."
        )
    labels = labels_of(dataset, progress)
    if len(labels) != classes:
        raise InputError(
            f"{path} has {classes} outputs, and the data set {dataset} has {len(labels)} classes. Give the "
            "labels in the "
            "order of the outputs: --labels FILE."
        )
    return labels


def _check_labels(path: Path, labels: tuple[str, ...], classes: int) -> None:
    if len(labels) != classes:
        raise InputError(
            f"{path} has {classes} outputs, and there are {len(labels)} labels. Give one for each output, in "
            "their order."
        )
