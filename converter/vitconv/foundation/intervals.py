"""How sure a measured fraction is."""

from __future__ import annotations


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
