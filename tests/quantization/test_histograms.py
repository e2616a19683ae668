"""Histograms of activations, and where each method clips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitconv.quantization.histograms import METHODS, PERCENTILE, STEPS, Histogram


def histogram(*batches: np.ndarray) -> Histogram:
    result = Histogram()
    for batch in batches:
        result.add(batch.astype(np.float32))
    return result


def error(values: np.ndarray, low: float, high: float) -> float:
    """Mean squared error of `values` in 256 equal steps from low to high."""
    step = (high - low) / STEPS
    stored = np.clip(np.rint((values - low) / step), 0, STEPS) * step + low
    return float(np.mean((stored - values) ** 2))


def test_minmax_is_the_extremes_over_all_batches() -> None:
    assert histogram(np.array([1.0, 2.0]), np.array([-3.0, 0.5])).range("minmax") == (-3.0, 2.0)


def test_percentile_leaves_out_the_rarest_values_and_keeps_the_rest() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 60_000)
    values[:2] = -50, 80
    low, high = histogram(values).range("percentile")
    outside = np.mean((values < low) | (values > high))
    assert -1.1 < low < -0.95
    assert 0.95 < high < 1.1
    assert outside <= (100 - PERCENTILE) / 100 + 0.001


@pytest.mark.parametrize("kind", ["normal", "laplace", "swish"])
def test_mse_finds_nearly_the_least_error_there_is(kind: str) -> None:
    random = np.random.default_rng(0)
    values = random.laplace(0, 1, 60_000) if kind == "laplace" else random.normal(0, 3, 60_000)
    if kind == "swish":
        values = values / (1 + np.exp(-values))
    low, high = histogram(values).range("mse")
    ends = np.linspace(0.2, 1, 33)
    best = min(error(values, values.min() * a, values.max() * b) for a in ends for b in ends)
    assert error(values, low, high) < 1.05 * best
    if kind == "laplace":  # a long tail: clipping it pays
        assert error(values, low, high) < 0.95 * error(values, values.min(), values.max())


def test_mse_keeps_everything_of_values_that_are_spread_evenly() -> None:
    values = np.random.default_rng(0).uniform(-1, 3, 60_000)
    low, high = histogram(values).range("mse")
    assert low == pytest.approx(-1, abs=0.03)
    assert high == pytest.approx(3, abs=0.06)


def test_the_order_of_batches_and_a_widening_range_change_nothing() -> None:
    random = np.random.default_rng(1)
    small, large = random.normal(0, 0.01, 1000), random.normal(0, 100, 1000)
    for method in METHODS:
        first, second = histogram(small, large).range(method), histogram(large, small).range(method)
        np.testing.assert_allclose(first, second, rtol=1e-9)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60), st.sampled_from(METHODS))
def test_a_range_never_leaves_the_values_seen(values: list[float], method: str) -> None:
    seen = np.array(values, np.float32)
    low, high = histogram(seen).range(method)  # type: ignore[arg-type]
    assert low <= high or (low, high) == pytest.approx((high, low))
    assert float(seen.min()) <= low + 1e-6 * abs(low) or low <= 0
    assert high <= max(float(seen.max()), 0.0) + 1e-6


def test_values_are_clipped_where_what_comes_next_is_flat() -> None:
    """Swish makes nearly nothing of what lies below -6: only the steps above it matter."""

    def swish(x: np.ndarray) -> np.ndarray:
        return x / (1 + np.exp(-x))

    values = np.random.default_rng(0).uniform(-20, 6, 60_000)
    blind, aware = histogram(values).range("mse"), histogram(values).range("mse", swish)
    assert blind[0] < -19
    assert -9 < aware[0] < -4
    assert aware[1] == pytest.approx(blind[1], abs=0.2)

    def behind(low: float, high: float) -> float:
        step = (high - low) / STEPS
        stored = np.clip(np.rint((values - low) / step), 0, STEPS) * step + low
        return float(np.mean((swish(stored) - swish(values)) ** 2))

    assert behind(*aware) < 0.5 * behind(*blind)
