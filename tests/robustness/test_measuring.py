"""Files and Keras on bad pictures: what is counted, and what is concluded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu_files import classifier, unary
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.pictures.photographs import sample_photographs
from vitconv.foundation.errors import ModelFileError
from vitconv.robustness.corruptions import CORRUPTIONS, STRENGTHS
from vitconv.robustness.measuring import RobustFile, Subject, _summarised, measure
from vitconv.runtimes.litert import Runner

RUNS = len(CORRUPTIONS) * len(STRENGTHS)
IMAGES = 40
INT8 = Subject(Path("x/a-int8.tflite"), "int8", "f" * 64)


def of_answers(keras: Any, file: Any) -> RobustFile:
    """keras, file: the class of each image in each run, the first of them clean; the right class is always 0."""
    classes = np.stack([np.broadcast_to(one, (1 + RUNS, IMAGES)) for one in (keras, file)], axis=1)
    (found,) = _summarised(classes, np.zeros(IMAGES, np.int64), [INT8]).files
    return found


def all_right() -> np.ndarray:
    return np.zeros((1 + RUNS, IMAGES), np.int64)


def test_a_file_that_answers_as_keras_does_loses_nothing_more() -> None:
    given = all_right()
    given[3:, ::2] = 1
    found = of_answers(given, given)
    assert (found.extra_loss, found.extra_loss_interval, found.mean_agreement) == (0, (0, 0), 1)
    assert found.clean == 1
    assert found.mean_top1 == pytest.approx(0.5 + 0.5 * 2 / RUNS)
    assert found.sentence == "int8 names the same classes as Keras on all bad pictures."


def test_accuracy_and_agreement_are_of_the_right_corruption_and_strength() -> None:
    given = all_right()
    fog = [one.name for one in CORRUPTIONS].index("fog")
    given[1 + 5 * fog + 3, :10] = 1  # strength 4
    found = of_answers(all_right(), given)
    assert found.top1["fog"] == found.agreement["fog"] == (1, 1, 1, 0.75, 1)
    assert all(values == (1,) * 5 for name, values in found.top1.items() if name != "fog")
    assert found.at(0) == found.at(3) == 1
    assert found.at(4) == pytest.approx(1 - 0.25 / len(CORRUPTIONS))


def test_a_file_that_loses_more_on_bad_pictures_is_shown_to_break_earlier() -> None:
    given = all_right()
    given[1:, : IMAGES // 2] = np.arange(RUNS)[:, np.newaxis] % 5 == 0
    found = of_answers(all_right(), given)
    assert found.extra_loss == pytest.approx(10)
    low, high = found.extra_loss_interval
    assert 0 < low < 10 < high
    assert found.sentence.startswith("int8 breaks earlier than Keras: on bad pictures it loses 10.00 points more")
    few = all_right()
    few[1:5, 0] = 1
    assert "int8 is not shown to break earlier than Keras: on bad p" in of_answers(all_right(), few).sentence
    better = of_answers(given, all_right())
    assert better.sentence.startswith("int8 breaks no earlier than Keras: on bad pictures it loses 10.00 points f")


def test_what_is_lost_on_clean_pictures_already_is_not_counted_twice() -> None:
    given = all_right()
    given[:, :10] = 1
    found = of_answers(all_right(), given)
    assert (found.clean, found.extra_loss) == (0.75, 0)


def test_an_answer_of_nan_is_wrong_and_agrees_with_nobody() -> None:
    given = all_right()
    given[1:] = -1
    found = of_answers(given, given)
    assert (found.mean_top1, found.mean_agreement) == (0, 0)


class Standin:
    """A float model that is a file, too."""

    def __init__(self, path: Path) -> None:
        self._runner = Runner(path)

    def predict(self, images: np.ndarray, progress: Any = None) -> np.ndarray:
        return self._runner.probabilities(images)

    def close(self) -> None:
        self._runner.close()


@pytest.fixture
def subjects(tmp_path: Path) -> list[Subject]:
    """The same network twice, and another."""
    found = []
    for name, middle in (("float32", "RELU"), ("float16", "RELU"), ("int8", "TANH")):
        path = tmp_path / f"tiny-{name}.tflite"
        path.write_bytes(classifier(unary(middle)).data)
        found.append(Subject(path, name, "0" * 64))
    return found


def test_files_and_keras_answer_the_same_pictures(subjects: list[Subject]) -> None:
    images = sample_photographs(ImageSpec(8, 8))
    model = Standin(subjects[0].path)
    said: list[tuple[str, int, int]] = []
    try:
        labels = model.predict(images).argmax(axis=1)
        labels[0] = (labels[0] + 1) % 3
        found = measure(model, subjects, images, labels, range(8), lambda *call: said.append(call))  # type: ignore[arg-type]
        own = measure(model, subjects, images, None, range(8))  # type: ignore[arg-type]
    finally:
        model.close()
    same, again, other = found.files
    assert found.examples == 8
    assert found.reference.clean == same.clean == 7 / 8
    assert same.top1 == again.top1 == found.reference.top1
    assert set(same.agreement.values()) == {(1.0,) * 5}
    assert other.mean_agreement < 1
    assert 0 < found.reference.mean_top1 < 1
    assert own.reference.clean == 1  # its own answers to the clean pictures are the truth
    assert said[0][1:] == (0, 8 * (1 + RUNS))
    assert said[-1][1:] == (8 * (1 + RUNS), 8 * (1 + RUNS))
    document = found.to_json()
    assert document["files"][2]["mean_agreement"] == other.mean_agreement
    assert set(document["reference"]) == {"clean", "top1", "mean_top1"}


def test_a_model_that_fails_ends_it_at_once(subjects: list[Subject]) -> None:
    class Failing:
        def predict(self, images: np.ndarray, progress: Any = None) -> np.ndarray:
            raise ModelFileError("gives NaN")

    images = np.zeros((4, 8, 8, 3), np.uint8)
    with pytest.raises(ModelFileError, match="gives NaN"):
        measure(Failing(), subjects, images, None, range(4))  # type: ignore[arg-type]
