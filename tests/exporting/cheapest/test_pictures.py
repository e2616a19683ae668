"""Which images a search asks."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from made_pictures import class_folders
from vitconv.classifiers.float_model import FloatModel
from vitconv.data.datasets import open_dataset
from vitconv.data.pictures.images import ImageSpec
from vitconv.exporting.cheapest import pictures
from vitconv.exporting.cheapest.pictures import choose_pictures, ordered
from vitconv.foundation.errors import InputError
from vitconv.foundation.progress import Progress

SPEC = ImageSpec(8, 8)


class Bright:
    """Ten classes: the brighter a picture, the surer of the first."""

    image = SPEC

    def predict(self, images: NDArray[np.uint8], progress: Progress | None = None) -> NDArray[np.float32]:
        first = 0.1 + 0.9 * images.mean(axis=(1, 2, 3)) / 255
        return np.column_stack([first, *[(1 - first) / 9] * 9]).astype(np.float32)


MODEL = cast(FloatModel, Bright())


def rows(images: NDArray[np.uint8]) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_validation_images_come_before_training_images_and_held_out_ones_never() -> None:
    digits = open_dataset("digits")
    splits = {name: digits.split(name, SPEC) for name in digits.split_names}
    found = choose_pictures(MODEL, digits, instructions=1e6)
    assert found.labelled
    assert found.sources == tuple(f"{name} ({splits[name].source})" for name in ("validation", "train"))
    assert not rows(found.images) & rows(np.asarray(splits["test"].images))
    assert rows(np.asarray(splits["validation"].images)) - rows(np.asarray(splits["test"].images)) <= rows(
        found.images
    )
    assert len(found) > 1400
    brightness = found.images.mean(axis=(1, 2, 3))
    assert (np.diff(brightness) >= 0).all()
    known = {
        image.tobytes(): label
        for split in splits.values()
        for image, label in zip(split.images, split.labels, strict=True)
    }
    assert all(known[image.tobytes()] == label for image, label in zip(found.images, found.labels, strict=True))


def test_a_dear_network_answers_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = open_dataset("digits")
    assert len(choose_pictures(MODEL, digits, instructions=pictures._INSTRUCTIONS / 300)) == 300
    assert len(choose_pictures(MODEL, digits, instructions=pictures._INSTRUCTIONS)) == pictures._FEWEST


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    class_folders(tmp_path / "pets", {"cat": 12, "dog": 12})
    with pytest.raises(InputError, match=r"--max-drop needs at least 50 images .* pets has \d+"):
        choose_pictures(MODEL, open_dataset(str(tmp_path / "pets")), 1e6)


def test_pictures_come_the_least_sure_first() -> None:
    answers = np.array([[0.9, 0.1], [0.5, 0.5], [0.3, 0.7]])
    images = np.arange(9, dtype=np.uint8).reshape(3, 1, 1, 3)
    found = ordered(images, answers, np.array([0, 1, 2]), True, ["train"])
    assert found.labels.tolist() == [1, 2, 0]
    assert found.images[0, 0, 0, 0] == 3
    assert found.answers[1].tolist() == [0.3, 0.7]
