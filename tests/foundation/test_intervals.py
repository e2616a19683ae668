"""Intervals are their formulas', exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vitconv.foundation.intervals import mean_interval, wilson_interval

Z = 1.959963984540054  # of a normal distribution's middle 95 %


@pytest.mark.parametrize("count", [1, 7, 329, 5000, 100_000])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.897, 1.0])
def test_the_formula(part: float, count: int) -> None:
    right = round(part * count)
    share = right / count
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    low, high = wilson_interval(share, count)
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=1e-12)
    assert 0 <= low <= share <= high <= 1


def test_the_interval_of_a_mean_is_student_s_and_stays_within_its_limits() -> None:
    values = np.array([1.0, 2.0, 4.0, 5.0])
    reach = 3.182446305 * math.sqrt(10 / 3) / 2  # t of three degrees of freedom
    assert mean_interval(values, (-10, 10)) == pytest.approx((3 - reach, 3 + reach))
    assert mean_interval(values, (2, 4)) == (2, 4)
    assert mean_interval(values[:1], (-10, 10)) == (-10, 10)
    assert mean_interval(np.zeros(5), (-10, 10)) == (0, 0)
