"""Which values an activation takes, gathered image by image, and where to clip them for eight bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Method = Literal["minmax", "percentile", "mse"]
METHODS: tuple[Method, ...] = get_args(Method)

STEPS = 255  # between the smallest and the largest of int8's 256 codes
PERCENTILE = 99.99  # of the values stay inside the range, by the method of that name; as many leave at each end

_BINS = 8192
_SMALLEST = 1e-30  # below it a value is as good as 0, and bins of such width could not be told apart
# Of each image so many values of a tensor are counted at least, spread evenly: enough for a histogram, and an
# attention map has millions. The extremes are looked for among all.
_COUNTED = 1 << 15
# What is tried as a fraction of the observed extreme. Beyond it a histogram's tail is ever rarer: wider steps.
_FRACTIONS = np.concatenate([np.linspace(1, 0.3, 36), np.geomspace(0.28, 0.02, 16)])


def sampling_stride(size: int) -> int:
    """Of a tensor with so many values every how manyth is counted, so that at least _COUNTED are (or all).

    It has no divisor in common with the size, so none with any of the tensor's dimensions: by threes, only one
    channel of [1, 256, 256, 3] would be met, and 16 of 48. So all channels are met equally often, within one.
    """
    stride = max(1, size // _COUNTED)
    while math.gcd(stride, size) > 1:
        stride -= 1
    return stride


class Histogram:
    """Counts of one tensor's values in equal bins over [−limit, limit]; `limit` doubles when a value needs it.

    `min` and `max` are the extremes of all values added.
    """

    def __init__(self) -> None:
        self.min, self.max = math.inf, -math.inf
        self._limit = 0.0
        self._counts: NDArray[np.float64] = np.zeros(_BINS)

    def add(self, values: NDArray[np.float32]) -> None:
        """Counts values of any shape. Raises ValueError where one is NaN or infinite."""
        low, high = float(values.min()), float(values.max())
        if not math.isfinite(low + high):
            raise ValueError(f"has values from {low} to {high}")
        self.min, self.max = min(self.min, low), max(self.max, high)
        self._widen(max(-low, high))
        if self._limit:
            counted = values.ravel()[:: sampling_stride(values.size)]
            scaled = (counted + self._limit) * (_BINS / (2 * self._limit))
            index = np.minimum(scaled.astype(np.int64), _BINS - 1)
            self._counts += np.bincount(index, minlength=_BINS)

    def _widen(self, needed: float) -> None:
        if needed <= max(self._limit, _SMALLEST):
            return
        if not self._limit:
            self._limit = 2.0 ** math.ceil(math.log2(needed))
        while needed > self._limit:
            pairs = self._counts.reshape(-1, 2).sum(axis=1)
            self._counts = np.concatenate([np.zeros(_BINS // 4), pairs, np.zeros(_BINS // 4)])
            self._limit *= 2

    def range(self, method: Method, then: Function = lambda values: values) -> tuple[float, float]:
        """(low, high) of the values that are to be told apart; what lies outside is clipped.

        minmax keeps all values; percentile leaves out (100 − PERCENTILE) / 2 percent at each end; mse takes the
        ends for which the mean squared difference between the values and their 256-step approximation is least
        (both rounding inside and clipping outside counted). `then` is what the graph makes of each value next: the
        difference is taken behind it, so that values are clipped freely where it is flat.
        """
        counted = np.flatnonzero(self._counts)
        if method == "minmax" or len(counted) < 2:
            return self.min, self.max
        centres = (np.arange(_BINS) + 0.5) * (2 * self._limit / _BINS) - self._limit
        weights = self._counts[counted] / self._counts.sum()
        values = centres[counted]
        if method == "percentile":
            return self._percentile(values, np.cumsum(weights))
        return self._least_squares(values, weights, then)

    def _percentile(self, values: NDArray[np.float64], shares: NDArray[np.float64]) -> tuple[float, float]:
        tail = (100 - PERCENTILE) / 200
        half = self._limit / _BINS  # of a bin, whose outer edge is taken
        low = float(values[np.searchsorted(shares, tail)]) - half
        high = float(values[min(int(np.searchsorted(shares, 1 - tail)), len(values) - 1)]) + half
        return max(self.min, low), min(self.max, high)

    def _least_squares(
        self, values: NDArray[np.float64], weights: NDArray[np.float64], then: Function
    ) -> tuple[float, float]:
        wanted = then(values)

        def error(low: float, high: float) -> float:
            low, high = min(low, 0.0), max(high, 0.0)  # the range that a tensor gets always holds 0
            step = (high - low) / STEPS
            stored = np.clip(np.rint((values - low) / step), 0, STEPS) * step + low
            return float(weights @ (then(stored) - wanted) ** 2)

        low, high = self.min, self.max
        for _ in range(2):  # one end at a time, twice, as the best place of one depends on the other
            if high > 0:
                high = min((self.max * float(part) for part in _FRACTIONS), key=lambda end: error(low, end))
            if low < 0:
                low = min((self.min * float(part) for part in _FRACTIONS), key=lambda end: error(end, high))
        return low, high
