"""What can be asked for its reasons: a .tflite file by itself, or a float model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitconv.classifiers.foreign_paths import is_foreign
from vitconv.classifiers.told import Told
from vitconv.data.pictures.images import ImageSpec
from vitconv.explanation.occlusion import Answer
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.runtimes.classification import input_table, metadata_of, model_input
from vitconv.runtimes.litert import Runner

if TYPE_CHECKING:
    import keras

    from vitconv.classifiers.float_model import FloatModel


@dataclass(frozen=True, eq=False)
class Subject:
    """`name`: whose answers these are, in words. network: a network of ours, whose attention can be looked at."""

    name: str
    image: ImageSpec
    labels: tuple[str, ...]
    answer: Answer
    network: keras.Model | None = None


@contextmanager
def open_subject(path: Path, told: Told, dataset: str | None = None) -> Iterator[Subject]:
    """A .tflite file that says itself what it takes; else whatever `vitconv export` takes.

    Raises ModelFileError, CheckpointError, or InputError that says what has to be told.
    """
    if is_file_by_itself(path, told):
        if dataset is not None:
            raise InputError(f"{path} knows its classes. Leave --dataset out.")
        with file_subject(path, path.name) as subject:
            yield subject
        return
    from vitconv.classifiers.opening import open_model

    yield model_subject(open_model(path, told, dataset))


def is_file_by_itself(path: Path, told: Told) -> bool:
    """Whether a path is a .tflite file of which nothing is told, so that no TensorFlow is needed."""
    return is_foreign(path) and path.suffix == ".tflite" and not told.given


@contextmanager
def file_subject(path: Path, name: str) -> Iterator[Subject]:
    """A .tflite file as `vitconv run` takes it. Raises ModelFileError."""
    described, normalization = metadata_of(path)
    with Runner(path) as runner:
        table = input_table(path, runner.inputs[0], normalization) if runner.inputs else None

        def answer(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
            taken = np.concatenate([model_input(pixels, table) for pixels in pictures])
            given: NDArray[np.float32] = runner.probabilities(taken)
            if given.shape[1] != len(described.labels):
                raise ModelFileError(
                    f"the {len(described.labels)} labels of {path} don't fit its {given.shape[1]} outputs. Export "
                    "it again."
                )
            return given

        yield Subject(name, described.image, described.labels, answer)


def model_subject(model: FloatModel, name: str = "Keras") -> Subject:
    from vitconv.classifiers.own import OwnModel

    network = model.load() if isinstance(model, OwnModel) else None
    return Subject(name, model.image, model.labels, model.predict, network)
