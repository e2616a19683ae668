"""Histograms of activations, and where each method clips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitconv.quantization.histograms import METHODS, PERCENTILE, STEPS, Histogram, sampling_stride


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


# --- which values are counted ---

# The networks' own feature maps, token rows and attention maps, and sizes that many small numbers divide.
SHAPES = [
    (1, 256, 256, 3), (1, 512, 512, 3), (1, 300, 300, 3), (1, 128, 128, 32), (1, 128, 128, 48), (1, 96, 160, 48),
    (1, 64, 64, 96), (1, 1024, 64), (1, 4, 1024, 1024), (1, 4096, 1024), (4, 256, 256), (1, 256, 16, 16),
    (1, 210, 210, 30), (1, 105, 105, 105), (1, 99, 77, 35), (1, 17, 19, 1000), (1, 224, 224, 7), (1, 64), (1, 5),
    (1, 65_537, 1), (3, 43_691), (1, 131_071, 2), (),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_channel_is_counted_as_often_as_any_other(shape: tuple[int, ...]) -> None:
    channels = shape[-1] if shape else 1
    size = int(np.prod(shape))
    counts = np.bincount(np.arange(0, size, sampling_stride(size)) % channels, minlength=channels)
    assert counts.max() - counts.min() <= 1
    assert counts.sum() >= min(size, 1 << 15)


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=3), st.integers(1, 60))
def test_channels_are_counted_equally_whatever_the_shape(outer: list[int], channels: int) -> None:
    size = int(np.prod(outer)) * channels
    counts = np.bincount(np.arange(0, size, sampling_stride(size)) % channels, minlength=channels)
    assert counts.max() - counts.min() <= 1


def test_the_range_of_pixels_is_not_that_of_red_alone() -> None:
    """Red lies between 0 and 1, green and blue go up to 40 and 200."""
    pixels = np.random.default_rng(0).uniform(0, 1, (1, 256, 256, 3)) * (1, 40, 200)
    low, high = histogram(pixels).range("percentile")
    assert low == pytest.approx(0, abs=0.1)
    assert high == pytest.approx(200, abs=1)


@pytest.mark.parametrize("channel", [1, 16, 47])
def test_a_channel_that_differs_from_the_others_is_seen(channel: int) -> None:
    """Of 48 channels; a stride of three or of an even number would meet some of them only."""
    maps = np.zeros((1, 64, 64, 48))
    maps[..., channel] = np.random.default_rng(0).normal(0, 1, (1, 64, 64))
    maps[0, 0, 0, 0] = 100.0  # once only: clipped by whoever sees the others
    low, high = histogram(maps).range("percentile")
    assert -4 < low < -2
    assert 2 < high < 4
