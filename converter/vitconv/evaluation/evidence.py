"""What a report shows of a verification in addition to its figures: confused classes, and the images on which a
file and Keras disagree most."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

IMAGES = 12  # of each integer file
THUMBNAIL_PIXELS = 96  # the longer side at most; and at least: small pictures are enlarged, pixel by pixel

_DIGITS = 6


@dataclass(frozen=True)
class Answer:
    """A class's index and its probability."""

    answer: int
    probability: float


@dataclass(frozen=True)
class Disagreement:
    """One image. `index` is its place in the split, `label` its true class. distance: half the sum of the
    differences of all probabilities, 0 to 1. `file` is None where the file gave NaN or infinity."""

    index: int
    label: int
    distance: float
    keras: Answer
    file: Answer | None

    def to_json(self) -> dict[str, Any]:
        answers = {"keras": self.keras, "file": self.file}
        return {
            "index": self.index,
            "label": self.label,
            "distance": round(self.distance, _DIGITS),
            **{
                name: [answer.answer, round(answer.probability, _DIGITS)] if answer else None
                for name, answer in answers.items()
            },
        }


@dataclass(frozen=True, eq=False)
class Answers:
    """Of Keras or of a file. confusion: int64 [classes, classes], images of the row's class that were given the
    column's. disagreements: the furthest from Keras first; empty for Keras and where they were not asked for."""

    confusion: np.ndarray
    disagreements: tuple[Disagreement, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """`confusion` as [right class, given class, images], without the zeros."""
        rows, columns = np.nonzero(self.confusion)
        triples = [[int(r), int(c), int(self.confusion[r, c])] for r, c in zip(rows, columns, strict=True)]
        return {"confusion": triples, "disagreements": [one.to_json() for one in self.disagreements]}


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of a whole verification. `files` has the answers by path, `thumbnails` PNG files by the image's index."""

    reference: Answers
    files: Mapping[str, Answers]
    thumbnails: Mapping[int, bytes]


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float [N, classes], int [N] → int64 [classes, classes]; a row with NaN or infinity is counted nowhere."""
    classes = probabilities.shape[1]
    answered = np.isfinite(probabilities).all(axis=1)
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels[answered], probabilities[answered].argmax(axis=1)), 1)
    return counts


def disagreements(
    actual: np.ndarray, expected: np.ndarray, labels: np.ndarray, most: int = IMAGES
) -> tuple[Disagreement, ...]:
    """The images of which a file's probabilities are furthest from Keras's, both [N, classes]: first those that
    are named otherwise, then by distance. What gives NaN or infinity is as far as can be."""
    answered = np.isfinite(actual).all(axis=1)
    filled = np.where(answered[:, np.newaxis], actual, 0.0).astype(np.float64)
    distance = np.where(answered, np.abs(filled - expected).sum(axis=1) / 2, 1.0)
    named = answered & (filled.argmax(axis=1) == expected.argmax(axis=1))
    order = np.lexsort((np.arange(len(labels)), -distance, named))[:most]
    found = []
    for index in map(int, order):
        if not distance[index] > 0:
            break
        keras, file = int(expected[index].argmax()), int(filled[index].argmax())
        found.append(
            Disagreement(
                index,
                int(labels[index]),
                float(distance[index]),
                Answer(keras, float(expected[index, keras])),
                Answer(file, float(filled[index, file])) if answered[index] else None,
            )
        )
    return tuple(found)


def thumbnails(images: np.ndarray, indices: Iterable[int]) -> dict[int, bytes]:
    """Of uint8 images [N, H, W, 3], as PNG."""
    return {index: _thumbnail(images[index]) for index in sorted(set(indices))}


def _thumbnail(pixels: np.ndarray) -> bytes:
    picture = Image.fromarray(pixels)
    picture.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    factor = max(1, THUMBNAIL_PIXELS // max(picture.size))
    if factor > 1:
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return data.getvalue()
