"""Pictures through one .tflite file: everything that is needed to classify them stands in the file itself.

What an input gets of a picture's pixels, 0 to 255. The Android app follows the same rule (core/…/Tensors.kt):

    float32   (pixel − mean) / deviation, by the file's NormalizationOptions; without them the file is refused
    int8      the same, divided by the input's scale, rounded, plus its zero point; without NormalizationOptions
              pixel − 128
    uint8     the pixel itself, whatever scale and NormalizationOptions say, as TensorFlow's Task Library and
              MediaPipe do it

An int8 file whose input tells fewer than 32 of the 256 pixel values apart, because the scale belongs to another
normalisation, contradicts itself and is refused.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.data.pictures.images import ImageSpec, open_picture
from vitconv.foundation import documents
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.foundation.progress import Progress
from vitconv.runtimes.litert import Runner
from vitconv.runtimes.process import TensorDetail
from vitconv.tflite import metadata
from vitconv.tflite.confidence import Confidence, Threshold
from vitconv.tflite.graph import Graph

logger = logging.getLogger("vitconv")


@dataclass(frozen=True)
class ClassifyConfig:
    """`file`: a .tflite file with an image classifier's metadata. `top`: how many labels of each picture.
    `error_rate`: percent of the given answers that may be wrong; other pictures are said to be none of the
    classes.
    """

    file: Path
    images: tuple[Path, ...]
    top: int = 5
    error_rate: float | None = None

    def __post_init__(self) -> None:
        if self.top < 1:
            raise InputError(f"--top must be at least 1 label, not {self.top}.")
        if self.error_rate is not None and not 0 < self.error_rate < 100:
            raise InputError(f"--error-rate must be between 0 and 100 percent, not {self.error_rate:g}.")


@dataclass(frozen=True)
class Guess:
    """One label of a picture. `index` is the model's output, `score` its value there: a probability, 0 to 1, in
    every file made here."""

    label: str
    index: int
    score: float


@dataclass(frozen=True)
class Picture:
    """One picture: its most probable labels, the best first, or the `problem` that left it without.

    `note` is what to know about labels that are there: the picture may not be upright. `none_of_these`: whether
    its best label is too unsure for the error rate that was asked for, None where none was.
    """

    path: str
    labels: tuple[Guess, ...]
    problem: str | None = None
    note: str | None = None
    none_of_these: bool | None = None


@dataclass(frozen=True)
class Classification:
    """What one file says about some pictures, in the order they were given; `model` is its name for itself. Where
    a `threshold` was asked for, scores are those with the file's temperature."""

    path: str
    model: str
    image: ImageSpec
    pictures: tuple[Picture, ...]
    threshold: Threshold | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """What was wrong with the pictures that could not be read."""
        return tuple(picture.problem for picture in self.pictures if picture.problem)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know about pictures that have labels."""
        return tuple(f"{picture.path}: {picture.note}" for picture in self.pictures if picture.note)

    def to_json(self) -> dict[str, Any]:
        """The document of `vitconv run --json`."""
        pictures = [
            {**asdict(picture), "labels": [asdict(guess) for guess in picture.labels]} for picture in self.pictures
        ]
        document = {"path": self.path, "model": self.model, "image": self.image.to_json(), "pictures": pictures}
        if self.threshold is not None:
            return {**document, "threshold": documents.to_json(self.threshold)}
        for picture in pictures:
            del picture["none_of_these"]
        return document


def classify(config: ClassifyConfig, progress: Progress | None = None) -> Classification:
    """Runs each picture through the file, prepared as in training: ImageSpec.prepare, by the rule in the file.

    If a picture cannot be read, it gets a `problem` instead of labels, and the others are still classified.
    Raises ModelFileError where the file is missing, has no metadata, cannot be run, or is no image classifier.
    """
    described, normalization = metadata_of(config.file)
    confidence, threshold = _threshold(config, described)
    pictures = []
    with Runner(config.file) as runner:
        table = input_table(runner.path, runner.inputs[0], normalization) if runner.inputs else None
        for number, path in enumerate(config.images):
            if progress:
                progress("classifying", number, len(config.images))
            notes: list[str] = []
            try:
                pixels = described.image.prepare(open_picture(path), notes.append)
            except InputError as error:
                message = str(error)
                pictures.append(Picture(str(path), (), message if str(path) in message else f"{path}: {message}"))
                continue
            scores = runner.probabilities(model_input(pixels, table))[0]
            if len(scores) != len(described.labels):
                raise ModelFileError(
                    f"the {len(described.labels)} labels of {config.file} don't fit its {len(scores)} outputs. "
                    "Export it again."
                )
            if confidence is not None:
                scores = confidence.apply(scores[None])[0]
            best = np.argsort(-scores, kind="stable")[: config.top]
            guesses = (Guess(described.labels[index], int(index), float(scores[index])) for index in best)
            unsure = None if threshold is None else not scores[best[0]] >= (threshold.least or 0)
            pictures.append(Picture(str(path), tuple(guesses), None, "; ".join(notes) or None, unsure))
    if progress:
        progress("classifying", len(config.images), len(config.images))
    return Classification(str(config.file), described.name, described.image, tuple(pictures), threshold)


def _threshold(
    config: ClassifyConfig, described: metadata.ModelMetadata
) -> tuple[Confidence | None, Threshold | None]:
    """What the file says of its confidence, where that is asked for. Raises InputError where it says nothing, or
    not enough."""
    if config.error_rate is None:
        return None, None
    confidence = described.confidence
    if confidence is None:
        raise InputError(
            f"{config.file} does not say how sure its answers are, so --error-rate means nothing. Export it with "
            "`vitconv export --confidence`."
        )
    threshold = confidence.threshold(config.error_rate / 100)
    if threshold is None:
        lowest = confidence.lowest_rate
        known = "none at all" if lowest is None else f"{100 * lowest:g} % at the lowest"
        raise InputError(
            f"{config.file} can promise no error rate of {config.error_rate:g} %: its {confidence.images} "
            f"validation images show {known}. Ask for more, or export with more of them."
        )
    return confidence, threshold


# Steps by which a uint8 input's scale may miss a pixel: rounded scales, a deviation of 127 or 128 for 127.5.
_UNDONE = 2
_FEWEST_STEPS = 32

Normalization = tuple[tuple[float, ...], tuple[float, ...]] | None


def metadata_of(path: Path) -> tuple[metadata.ModelMetadata, Normalization]:
    """What a file says of its pictures and classes. Raises ModelFileError where it says nothing."""
    try:
        graph = Graph.read(path)
        described, normalization = metadata.read(graph), metadata.read_normalization(graph)
    except ModelFileError as error:
        raise error if str(path) in str(error) else ModelFileError(f"{path}: {error}") from error
    if described is None:
        raise ModelFileError(
            f"{path} has no metadata, so its labels and its pixel range are unknown. "
            "Use a file with TFLite metadata, such as those that `vitconv export` writes."
        )
    return described, normalization


def input_table(path: Path, source: TensorDetail, normalization: Normalization) -> NDArray[Any] | None:
    """What each of a picture's 256 values becomes in each channel, [256, 3], as the input's type; None: itself.

    See the head of this module. Raises ModelFileError.
    """
    values = np.arange(256)[:, None]
    if normalization is None:
        if source.dtype == "float32":
            raise ModelFileError(
                f"{path} takes float pixels, but its metadata do not say how they are normalised. "
                "Add NormalizationOptions to its metadata."
            )
        return np.repeat(values - 128, 3, axis=1).astype(np.int8) if source.dtype == "int8" else None
    mean, deviation = (np.asarray(each, np.float32) for each in normalization)
    with np.errstate(all="ignore"):
        real = np.broadcast_to((values.astype(np.float32) - mean) / deviation, (256, 3))
    if not np.isfinite(real).all():
        raise ModelFileError(f"{path} normalises pixels by {normalization}. Correct its NormalizationOptions.")
    if source.dtype == "float32":
        return real
    # An integer tensor without a scale holds its values as they are.
    scale, zero_point = source.scale or 1.0, source.zero_point or 0
    steps = np.rint(real / np.float32(scale)) + zero_point
    if source.dtype == "uint8":
        if np.abs(steps - values).max() > _UNDONE:
            logger.warning(
                f"{path}: what its metadata say about normalisation does not agree with the scale of its uint8 "
                "input. Pixels go in as they are, as in TensorFlow's Task Library and MediaPipe."
            )
        return None
    if source.dtype != "int8":
        return None  # which the runner refuses
    stored: NDArray[Any] = np.clip(steps, -128, 127).astype(np.int8)
    if len(np.unique(stored)) < _FEWEST_STEPS:
        raise ModelFileError(
            f"{path} contradicts itself: by its metadata pixels become {real.min():.4g} to {real.max():.4g}, and "
            f"its int8 input holds {(-128 - zero_point) * scale:.4g} to {(127 - zero_point) * scale:.4g}. Correct "
            "its NormalizationOptions."
        )
    return stored


def model_input(pixels: NDArray[np.uint8], table: NDArray[Any] | None) -> NDArray[Any]:
    """uint8 [H, W, 3] → [1, H, W, 3] as the file takes it."""
    if table is None:
        return pixels[None]
    channels = [table[pixels[..., channel], channel] for channel in range(3)]
    prepared: NDArray[Any] = np.stack(channels, axis=-1)[None]
    return prepared
