"""A training that learns from a trained classifier, too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from vitconv.classifiers.float_model import FloatModel
from vitconv.data.datasets import open_dataset
from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.errors import CheckpointError, InputError
from vitconv.models import catalogue
from vitconv.training.steps.batches import training_batches
from vitconv.training.teacher import SHARE, Teacher
from vitconv.training.train import TrainConfig, train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@dataclass
class Brightness:
    """Says of a picture's red, green and blue what share of its light each has."""

    image: ImageSpec
    seen: tuple[int, ...] = ()

    def predict(self, images: np.ndarray) -> np.ndarray:
        assert images.dtype == np.uint8
        self.seen = images.shape
        light = images.astype(np.float32).mean(axis=(1, 2)) + 1e-3
        return np.asarray(light / light.sum(axis=1, keepdims=True))


def test_targets_are_the_answers_on_the_very_picture_in_the_data_set_s_order_and_the_labels() -> None:
    model = Brightness(ImageSpec(6, 4))
    teacher = Teacher(cast(FloatModel, model), np.asarray([2, 0, 1]))
    images = np.zeros((2, 9, 9, 3), np.float32)
    images[0, ..., 0] = 200.4  # red is the data set's second class
    images[1, ..., 2] = 260  # blue its first; what augmentation made too light is white
    labels = np.eye(3, dtype=np.float32)[[1, 1]]
    targets = teacher.targets(images, labels)
    assert model.seen == (2, 6, 4, 3)
    np.testing.assert_allclose(targets, [[0, 1, 0], [SHARE, 1 - SHARE, 0]], atol=1e-4)
    assert targets.dtype == np.float32


def test_a_training_s_batches_have_the_teacher_s_targets_and_the_same_pictures() -> None:
    dataset, entry = open_dataset("digits"), catalogue.find("mobilevit_xxs")
    split, recipe = dataset.split("train", ImageSpec(32, 32)), entry.recipe
    model = Brightness(ImageSpec(32, 32))
    order = np.asarray([0, 1, 2] + 7 * [0])
    teacher = Teacher(cast(FloatModel, model), order)
    alone, taught = (training_batches(split, ImageSpec(32, 32), recipe, 3, 10, one)[2] for one in (None, teacher))
    np.testing.assert_array_equal(alone[0], taught[0])
    np.testing.assert_array_equal(taught[1], teacher.targets(*alone))
    assert not np.allclose(alone[1], taught[1])


def unscaled_model(path: Path) -> Path:
    import keras

    image = keras.Input((8, 8, 3))
    keras.Model(image, keras.layers.Dense(10, activation="softmax")(keras.layers.Flatten()(image))).save(path)
    return path


def test_what_cannot_teach_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    unscaled = unscaled_model(tmp_path / "unscaled.keras")
    for teacher, error, words in (
        (tmp_path / "nobody", CheckpointError, "no checkpoint"),
        (unscaled, InputError, "Rescaling"),
        (Path("eanet"), InputError, "knows 100 classes, and not 0, 1, 2, 3, 4; digits has 10"),
    ):
        with pytest.raises(error, match=words):
            train(TrainConfig("eanet", "digits", tmp_path / "out", image_size=8, teacher=teacher))
        assert list(tmp_path.iterdir()) == [unscaled]
    with pytest.raises(InputError, match="mirrored"):
        TrainConfig("eanet", "digits", tmp_path / "out", teacher=unscaled, strategy="mirrored")
