"""How sure a measured fraction or mean is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def wilson_interval(fraction: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a probability of which `fraction` of `count` independent trials came true.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference": unlike the normal
    approximation it stays within 0 and 1 and holds near them.
    """
    from scipy.stats import binomtest  # a second, which only who wants an interval should wait

    found = binomtest(round(fraction * count), count).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def exact_interval(count: int, trials: int) -> tuple[float, float]:
    """The same, never too narrow (Clopper and Pearson, 1934): `count` of `trials` came true."""
    from scipy.stats import binomtest

    found = binomtest(count, trials).proportion_ci(0.95, method="exact")
    return float(found.low), float(found.high)


def mean_interval(values: NDArray[np.float64], limits: tuple[float, float]) -> tuple[float, float]:
    """The 95 % interval of the mean of all such values, of which these are a sample: Student's (1908). `limits`
    are what no mean can be beyond; of a single value nothing else is known."""
    from scipy.stats import t

    count = len(values)
    if count < 2:
        return limits
    mean, error = float(values.mean()), float(values.std(ddof=1)) / count**0.5
    reach = float(t.ppf(0.975, count - 1)) * error
    return max(limits[0], mean - reach), min(limits[1], mean + reach)
