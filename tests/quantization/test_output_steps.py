"""What uint8 probabilities leave of answers, and what is said of files whose answers are none."""

from __future__ import annotations

import numpy as np
import pytest

from vitconv.quantization.output_steps import STEP, Rounded, lost_answers, rounded


def answer(classes: int, *best: float) -> np.ndarray:
    """float [classes]: the best classes' probabilities first, the others share what is left."""
    rest = (1 - sum(best)) / (classes - len(best))
    return np.array([*best, *[rest] * (classes - len(best))])


def test_a_thousand_classes_that_are_hardly_told_apart_are_all_zero() -> None:
    found = rounded(np.array([answer(1000, 0.0015 + 0.00001 * number) for number in range(20)]))
    assert (found.images, found.silent, found.tied) == (20, 20, 0)
    assert found.largest == (pytest.approx(0.0015), pytest.approx(0.00169))
    assert found.undecided
    assert found.sentence("pictures") == (
        "the largest probability that the network gives is 0.0015 to 0.0017 on 20 pictures. In the steps of 1/256 "
        "of a uint8 output 20 answers are 0 for every class"
    )


def test_the_best_two_of_a_hundred_classes_in_one_step_are_tied() -> None:
    found = rounded(
        np.array([answer(100, 0.0205, 0.0187), answer(100, 0.0205, 0.0165), answer(100, 0.0206, 0.02)])
    )
    assert (found.silent, found.tied) == (0, 2)
    assert found.undecided
    assert "in 2 the best classes are equal" in found.sentence("pictures")


@pytest.mark.parametrize(("best", "silent"), [(0.5 * STEP, 1), (0.51 * STEP, 0)])
def test_half_a_step_is_where_a_probability_ends(best: float, silent: int) -> None:
    assert rounded(np.array([answer(2000, best)])).silent == silent


def test_certain_answers_are_not_tied_though_the_last_step_holds_two_values() -> None:
    found = rounded(np.array([answer(10, 1.0), answer(10, 255 / 256), answer(10, 0.9)]))
    assert (found.silent, found.tied, found.undecided) == (0, 0, False)


def test_a_few_lost_answers_are_no_reason_to_warn() -> None:
    """As many as of networks that are sure of most: see the limit's reason."""
    assert not Rounded(8, 1, 0, (0.0, 1.0)).undecided
    assert not Rounded(100, 0, 5, (0.0, 1.0)).undecided
    assert Rounded(100, 1, 5, (0.0, 1.0)).undecided
    assert Rounded(8, 1, 1, (0.0, 1.0)).undecided
    assert Rounded(1, 1, 0, (0.001, 0.001)).undecided  # all there is


KERAS = np.array([answer(1000, 0.0017)] * 10)


def test_zeros_are_explained_by_the_output_s_steps_and_what_helps_is_named() -> None:
    (said,) = lost_answers(np.zeros((10, 1000)), KERAS, 0.96, STEP)
    assert said == (
        "gives 0 for every class on 10 of 10 images, so it names none: Keras's largest probabilities there are "
        "0.0017 to 0.0017, and half a step of its output is 0.002. Export it with --probabilities float32"
    )


def test_one_image_is_enough_where_no_other_is_known_and_else_it_proves_nothing() -> None:
    assert len(list(lost_answers(np.zeros((1, 1000)), KERAS[:1], 0.96, STEP))) == 1
    one_of_ten = np.concatenate([np.zeros((1, 1000)), KERAS[1:]])
    assert list(lost_answers(one_of_ten, KERAS, 0.96, STEP)) == []
    assert len(list(lost_answers(one_of_ten, KERAS, 1.0, STEP))) == 1


def test_zeros_where_keras_is_sure_are_not_blamed_on_the_steps() -> None:
    (said,) = lost_answers(np.zeros((10, 10)), np.array([answer(10, 0.9)] * 10), 0.96, STEP)
    assert said == "gives 0 for every class on 10 of 10 images, so it names none"


@pytest.mark.parametrize("value", [255 / 256, 0.1])
@pytest.mark.parametrize("step", [STEP, None])
def test_a_saturated_or_constant_answer_is_named_whatever_the_output(value: float, step: float | None) -> None:
    (said,) = lost_answers(np.full((4, 10), value), np.array([answer(10, 0.9)] * 4), 0.96, step)
    assert said == f"gives {value:.3g} for every class on 4 of 4 images, so it names none"


def test_equal_best_classes_are_named() -> None:
    tied = np.array([[0.25, 0.25, 0.5, 0.5]] * 3 + [[0.0, 0.25, 0.5, 0.25]])
    expected = np.array([[0.1, 0.2, 0.3, 0.4]] * 4)
    (said,) = lost_answers(tied, expected, 0.96, STEP)
    assert said.startswith(
        "gives several classes the same largest value on 3 of 4 images: its output is too coarse"
    )
    assert list(lost_answers(tied, expected, 0.25, STEP)) == []
    (said,) = lost_answers(tied, expected, 0.96, None)
    assert said == "gives several classes the same largest value on 3 of 4 images"


def test_answers_that_are_no_numbers_are_left_to_others() -> None:
    assert list(lost_answers(np.full((4, 10), np.nan), np.array([answer(10, 0.9)] * 4), 0.96, STEP)) == []
