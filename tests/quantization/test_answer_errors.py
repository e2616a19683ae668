"""How far answers are from the float graph's."""

from __future__ import annotations

import numpy as np
import pytest

from vitconv.quantization.answer_errors import answer_errors, floor_of, least_sure_first


def test_the_error_is_that_of_the_two_likeliest_classes() -> None:
    expected = np.array([[0.6, 0.3, 0.1 - 1e-6, 1e-6], [0.05, 0.05, 0.1, 0.8]])
    assert not answer_errors(expected, expected).any()
    others = expected.copy()
    others[0, 2:] = 0.1 - 1e-3, 1e-3
    others[1, :2] = 0.0, 0.1
    assert not answer_errors(others, expected).any()
    swapped = expected[:, [1, 0, 3, 2]]
    by_hand = [(2 * np.log(0.6 / 0.3)) ** 2, (2 * np.log(0.8 / 0.1)) ** 2]
    assert answer_errors(swapped, expected) == pytest.approx(by_hand)
    sure = np.array([[1 - 1e-5, 1e-5]])  # in eight bits: 255/256 and 0
    assert answer_errors(np.array([[255 / 256, 0.0]]), sure) < 1e-4


def test_where_eight_bits_hold_no_answer_small_probabilities_count() -> None:
    small = np.array([[3e-4, 1e-4]])
    assert answer_errors(small[:, ::-1], small) == 0
    assert answer_errors(small[:, ::-1], small, floor_of(small)) == pytest.approx((2 * np.log(3)) ** 2)
    assert floor_of(np.array([[0.9, 0.1]])) == 1 / 512


def test_the_least_sure_come_first() -> None:
    sure, unsure, less = [0.9, 0.05, 0.05], [0.1, 0.44, 0.46], [0.2, 0.5, 0.3]
    assert least_sure_first(np.array([sure, less, unsure, sure]), 1e-7).tolist() == [2, 1, 0, 3]
