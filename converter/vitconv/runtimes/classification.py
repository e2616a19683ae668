"""Pictures through one .tflite file: everything that is needed to classify them stands in the file itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.data.images import ImageSpec, open_picture
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.foundation.progress import Progress
from vitconv.runtimes.litert import Runner
from vitconv.tflite import metadata
from vitconv.tflite.graph import Graph


@dataclass(frozen=True)
class ClassifyConfig:
    """`file`: a .tflite file with an image classifier's metadata. `top`: how many labels of each picture."""

    file: Path
    images: tuple[Path, ...]
    top: int = 5

    def __post_init__(self) -> None:
        if self.top < 1:
            raise InputError(f"--top must be at least 1 label, not {self.top}.")


@dataclass(frozen=True)
class Guess:
    """One label of a picture. `index` is the model's output, `score` its value there: a probability, 0 to 1, in
    every file made here."""

    label: str
    index: int
    score: float


@dataclass(frozen=True)
class Picture:
    """One picture: its most probable labels, the best first, or the `problem` that left it without."""

    path: str
    labels: tuple[Guess, ...]
    problem: str | None = None


@dataclass(frozen=True)
class Classification:
    """What one file says about some pictures, in the order they were given; `model` is its name for itself."""

    path: str
    model: str
    image: ImageSpec
    pictures: tuple[Picture, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What was wrong with the pictures that could not be read."""
        return tuple(picture.problem for picture in self.pictures if picture.problem)

    def to_json(self) -> dict[str, Any]:
        """The document of `vitconv run --json`."""
        pictures = [
            {**asdict(picture), "labels": [asdict(guess) for guess in picture.labels]} for picture in self.pictures
        ]
        return {"path": self.path, "model": self.model, "image": self.image.to_json(), "pictures": pictures}


def classify(config: ClassifyConfig, progress: Progress | None = None) -> Classification:
    """Runs each picture through the file, prepared as in training: ImageSpec.prepare, by the rule in the file.

    A picture that cannot be read costs the others nothing: it has a `problem` in the place of labels.
    Raises ModelFileError where the file is missing, has no metadata, cannot be run, or is no image classifier.
    """
    described, normalization = _metadata_of(config.file)
    pictures = []
    with Runner(config.file) as runner:
        for number, path in enumerate(config.images):
            if progress:
                progress("classifying", number, len(config.images))
            try:
                pixels = described.image.prepare(open_picture(path))
            except InputError as error:
                message = str(error)
                pictures.append(Picture(str(path), (), message if str(path) in message else f"{path}: {message}"))
                continue
            scores = runner.probabilities(_input(pixels, runner, normalization))[0]
            if len(scores) != len(described.labels):
                raise ModelFileError(
                    f"the {len(described.labels)} labels of {config.file} don't fit its {len(scores)} outputs. "
                    "Export it again."
                )
            best = np.argsort(-scores, kind="stable")[: config.top]
            guesses = (Guess(described.labels[index], int(index), float(scores[index])) for index in best)
            pictures.append(Picture(str(path), tuple(guesses)))
    if progress:
        progress("classifying", len(config.images), len(config.images))
    return Classification(str(config.file), described.name, described.image, tuple(pictures))


Normalization = tuple[tuple[float, ...], tuple[float, ...]] | None


def _metadata_of(path: Path) -> tuple[metadata.ModelMetadata, Normalization]:
    try:
        graph = Graph.read(path)
        described, normalization = metadata.read(graph), metadata.read_normalization(graph)
    except ModelFileError as error:
        raise error if str(path) in str(error) else ModelFileError(f"{path}: {error}") from error
    if described is None:
        raise ModelFileError(
            f"{path} has no metadata, so its labels and what it does to pixels are unknown. "
            "Files that `vitconv export` writes have them."
        )
    return described, normalization


def _input(pixels: NDArray[np.uint8], runner: Runner, normalization: Normalization) -> NDArray[Any]:
    """uint8 [H, W, 3] → [1, H, W, 3] as the file takes it: raw bytes, or float by the file's own normalisation."""
    if runner.inputs[0].dtype != "float32":
        return pixels[None]
    if normalization is None:
        raise ModelFileError(
            f"{runner.path} takes float pixels and its metadata don't say how they are normalised. "
            "Give it NormalizationOptions."
        )
    mean, deviation = (np.asarray(values, np.float32) for values in normalization)
    return (pixels[None].astype(np.float32) - mean) / deviation
