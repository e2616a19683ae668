"""Files are asked for no more answers than it takes, and counted right. A stand-in answers in a file's place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from handmade import Handmade
from vitconv.exporting.cheapest import asking
from vitconv.exporting.cheapest.asking import Asking
from vitconv.exporting.cheapest.limits import AccuracyLimit, Shown
from vitconv.exporting.cheapest.pictures import Pictures

COUNT = 1000
CLASSES = 5


def pictures(labelled: bool = True) -> Pictures:
    """Each picture's number is in its pixels. Class 0 is the likeliest of all, and right; the margins run from
    nothing to 5 nats."""
    margins = np.linspace(0.001, 5, COUNT)
    answers = np.full((COUNT, CLASSES), 1e-4)
    answers[:, 1] = (1 - 3e-4) / (1 + np.exp(margins))
    answers[:, 0] = 1 - 3e-4 - answers[:, 1]
    numbers = np.arange(COUNT)
    images = np.zeros((COUNT, 1, 1, 3), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = numbers % 256, numbers // 256
    return Pictures(images, answers, np.zeros(COUNT, np.int64), labelled, ("validation",))


def numbers_of(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    return images[:, 0, 0, 0].astype(np.int64) + 256 * images[:, 0, 0, 1].astype(np.int64)


@dataclass
class Output:
    scale: float | None = None


class Answering:
    """Gives Keras's probabilities after `change`; remembers what it was asked."""

    def __init__(self, change: Any, scale: float | None = None) -> None:
        self.change, self.outputs, self.asked = change, (Output(scale),), set[int]()

    def __call__(self, _: object) -> Answering:
        return self

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        numbers = numbers_of(images)
        self.asked |= set(numbers.tolist())
        answers = pictures().answers[numbers].copy()
        self.change(numbers, answers)
        return answers.astype(np.float32)


def swapped(*which: int) -> Any:
    """Another class than Keras's for these pictures."""

    def change(numbers: NDArray[np.int64], answers: NDArray[np.float64]) -> None:
        rows = np.isin(numbers, which)
        answers[rows] = answers[rows][:, [1, 0, 2, 3, 4]]

    return change


def asked(
    monkeypatch: pytest.MonkeyPatch,
    change: Any,
    limit: AccuracyLimit,
    labelled: bool = True,
    scale: float | None = None,
) -> tuple[Asking, Shown, Answering]:
    answering = Answering(change, scale)
    monkeypatch.setattr(asking, "Runner", answering)
    made = Handmade()
    with Asking(made.graph([made.tensor(1, 1, 1, 3)]), pictures(labelled), limit) as found:
        return found, found.judge(), answering


def test_a_file_that_hardly_errs_is_asked_only_where_keras_is_unsure(monkeypatch: pytest.MonkeyPatch) -> None:
    found, shown, answering = asked(monkeypatch, swapped(0, 1), AccuracyLimit(2.0))
    assert shown.outcome == "kept"
    assert shown.agreement == pytest.approx(1 - 2 / COUNT)
    assert shown.top1_drop == pytest.approx(0.2)
    assert found.asked == len(answering.asked) < 200
    assert max(answering.asked) > 900  # a sample of the others was asked, too


def test_an_error_among_the_sure_ones_has_them_all_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tenth of those that Keras is sure of is answered wrong: that is more than a sample can miss."""
    found, shown, _ = asked(monkeypatch, swapped(*range(500, COUNT, 10)), AccuracyLimit(20.0, 50.0))
    assert found.asked == COUNT
    assert shown.agreement == pytest.approx(0.95)
    assert shown.top1_drop == pytest.approx(5.0)


def test_where_the_limit_can_no_more_be_kept_nobody_asks_further(monkeypatch: pytest.MonkeyPatch) -> None:
    found, shown, _ = asked(monkeypatch, swapped(*range(100)), AccuracyLimit(1.0))
    assert shown.outcome == "broken"
    assert found.asked == 50


def test_without_classes_agreement_is_counted_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    _, shown, _ = asked(monkeypatch, swapped(0), AccuracyLimit(2.0), labelled=False)
    assert (shown.outcome, shown.top1_drop) == ("kept", None)
    _, shown, _ = asked(monkeypatch, swapped(*range(40)), AccuracyLimit(2.0), labelled=False)
    assert shown.outcome == "broken"


def test_the_error_is_that_of_the_two_best_classes_where_keras_is_least_sure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shift(numbers: NDArray[np.int64], answers: NDArray[np.float64]) -> None:
        answers[:, 1] *= np.exp(0.25)

    found, _, _ = asked(monkeypatch, shift, AccuracyLimit(50.0, 0.0))
    assert found.error == pytest.approx(0.25**2, rel=1e-3)


def test_no_number_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(numbers: NDArray[np.int64], answers: NDArray[np.float64]) -> None:
        answers[:] = np.nan

    _, shown, _ = asked(monkeypatch, broken, AccuracyLimit(50.0, 0.0))
    assert shown.outcome == "broken"


def test_what_eight_bits_cannot_say_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probability of 1e-4 is 0 in steps of 1/256. That is nothing that could change an answer."""

    def rounded(numbers: NDArray[np.int64], answers: NDArray[np.float64]) -> None:
        answers[:] = np.rint(answers * 256) / 256

    found, shown, _ = asked(monkeypatch, rounded, AccuracyLimit(3.0), scale=1 / 256)
    assert shown.outcome == "kept"
    assert found.asked < COUNT
    assert found.error < 0.01
