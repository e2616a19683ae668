"""What a number of images shows about a limit: that a file keeps it, that it breaks it, or neither.

Each figure has a 95 % interval. A limit outside the interval is decided; about a limit inside, these images cannot
tell. So at most 2.5 % of the files that just keep a limit are said to break it.

Agreement is a share of images. Its interval is Wilson's (1927), or Clopper and Pearson's (1934) where that is
wider: near 100 % Wilson's alone is too narrow. With it, 8 % of the files that agree on exactly 96 % of all images
would fail when 12 are tried.

Lost answers are a difference of two shares of the same images. Only images count that one of the two answers right
and the other wrong. Tango's score test (1998, "Equivalence test and confidence interval for the difference in
proportions for the paired-sample design") asks whether the difference can be the limit. For a limit of 0 it is
McNemar's test (1947), with Edwards's continuity correction (1948).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from vitconv.foundation.intervals import exact_interval, wilson_interval

_Z = 1.959963984540054  # of the normal distribution, 95 % lie within
# More images than anybody has: a figure so close to its limit is at it.
_MOST_IMAGES = 10_000_000

Interval = tuple[float, float]
Shown = Literal["kept", "broken", "unsure"]


@dataclass(frozen=True)
class Judgement:
    """What is shown of one limit. `interval` holds the true figure in 95 % of cases. `enough` is about the number
    of images that would decide, if they were like these; None where it is decided, or where no number would do."""

    shown: Shown
    interval: Interval
    enough: int | None = None


def judge_agreement(agreeing: int, images: int, least: float) -> Judgement:
    """Whether the share of all images on which file and Keras name the same class is at least `least`.

    `agreeing` of `images` do. With `least` = 1 one disagreement breaks the limit, and none keeps it.
    """
    interval = agreement_interval(agreeing, images)
    if least >= 1:
        return Judgement("kept" if agreeing == images else "broken", interval)

    def decide(times: float) -> Shown:
        low, high = agreement_interval(round(agreeing * times), round(images * times))
        return "broken" if high < least else "kept" if low >= least else "unsure"

    return _judgement(decide, interval, images)


def judge_lost(lost: int, gained: int, images: int, most: float) -> Judgement:
    """Whether the share of all images that a file answers right less often than Keras is at most `most`.

    Of `images`, Keras alone is right on `lost`, and the file alone on `gained`. The interval is of the difference.
    """

    def decide(times: float) -> Shown:
        z = _lost_score(lost * times, gained * times, images * times, most)
        return "broken" if z >= _Z else "kept" if z <= -_Z else "unsure"

    return _judgement(decide, lost_interval(lost, gained, images), images)


@cache
def agreement_interval(agreeing: int, images: int) -> Interval:
    """95 % interval of a share of which `agreeing` of `images` were found."""
    wilson, exact = wilson_interval(agreeing / images, images), exact_interval(agreeing, images)
    return min(wilson[0], exact[0]), max(wilson[1], exact[1])


@cache
def lost_interval(lost: int, gained: int, images: int) -> Interval:
    """95 % interval of the share of answers lost, from −1 to 1: what the test does not rule out."""
    from scipy.optimize import brentq

    found = (lost - gained) / images
    ends = []
    for end, z in ((-1.0, _Z), (1.0, -_Z)):
        beyond = end * (1 - 1e-9)
        refused = _lost_score(lost, gained, images, beyond) * math.copysign(1, z) > abs(z)
        ends.append(
            brentq(lambda most, z=z: _lost_score(lost, gained, images, most) - z, *sorted((beyond, found)))
            if refused
            else end
        )
    return ends[0], ends[1]


def fewest_agreeing(images: int, least: float) -> int:
    """The smallest number of agreeing images, of `images`, that does not show that `least` is broken."""
    if images == 0:
        return 0
    return next(count for count in range(images + 1) if judge_agreement(count, images, least).shown != "broken")


def _judgement(decide: Callable[[float], Shown], interval: Interval, images: int) -> Judgement:
    """`decide` says what so many times as many images of the same kind would show."""
    shown = decide(1.0)
    if shown != "unsure":
        return Judgement(shown, interval)
    times = 2.0
    while decide(times) == "unsure":
        times *= 2
        if times * images > _MOST_IMAGES:
            return Judgement("unsure", interval)
    least, most = times / 2, times
    while (most - least) * images > 1 and most / least > 1.01:
        middle = (least + most) / 2
        least, most = (middle, most) if decide(middle) == "unsure" else (least, middle)
    return Judgement("unsure", interval, _rounded_up(most * images))


def _rounded_up(value: float) -> int:
    """To two digits, so that nobody takes an estimate for more than it is: 1834.2 → 1900."""
    unit: int = 10 ** max(0, math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit) * unit


def _lost_score(lost: float, gained: float, images: float, most: float) -> float:
    """How many standard deviations more is lost than `most`, from −1 to 1; 0 within the continuity correction."""
    excess = lost - gained - images * most
    # The likeliest share of images that the file alone answers right, if the difference is `most` (Tango, 1998).
    b = (2 * images - lost + gained) * most - lost - gained
    c = -gained * most * (1 - most)
    alone = (math.sqrt(max(b * b - 8 * images * c, 0.0)) - b) / (4 * images)
    variance = images * (2 * alone + most * (1 - most))
    corrected = max(abs(excess) - 1, 0.0)
    if corrected == 0 or variance <= 0:
        return 0.0 if corrected == 0 else math.copysign(math.inf, excess)
    return math.copysign(corrected / math.sqrt(variance), excess)
