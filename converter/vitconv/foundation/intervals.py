"""How sure a measured fraction is."""

from __future__ import annotations

import math

_Z = 1.959964  # of a normal distribution's middle 95 %


def wilson_interval(fraction: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a probability of which `fraction` of `count` independent trials came true.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference": unlike the normal
    approximation it stays within 0 and 1 and holds near them.
    """
    spread = _Z**2 / count
    centre = (fraction + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(fraction * (1 - fraction) / count + spread / (4 * count))
    return max(0.0, centre - half), min(1.0, centre + half)
