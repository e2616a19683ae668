"""Which parts of a picture an answer rests on, for anything that answers pictures.

A square of the picture is covered at a time, and the class's probability looked at (Zeiler and Fergus, 2014,
"Visualizing and Understanding Convolutional Networks"). What is covered gets the picture's mean colour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitconv.foundation.progress import Progress

Answer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""uint8 [N, H, W, 3] → probabilities, float32 [N, classes]."""

PLACES = 10  # of the square along each side: it is answered PLACES² times
SHARE = 4  # the square's side is this part of the picture's

_BATCH = 25  # covered pictures that are answered together


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What covering does to one class. probability: of the whole picture. drops: float64 [rows, columns], by how
    much it falls where the square covers that place, negative where it rises. spread: float64 [H, W], of each
    pixel the mean over the squares that cover it, with the squares' edges smoothed."""

    probability: float
    drops: NDArray[np.float64]
    spread: NDArray[np.float64]


def occlusion(
    answer: Answer,
    picture: NDArray[np.uint8],
    index: int,
    progress: Progress | None = None,
    what: str = "covering",
) -> Occlusion:
    """Of the class with that index; picture: uint8 [H, W, 3] as the model takes it. An answer that is NaN or
    infinite counts as a probability of 0."""
    height, width = picture.shape[:2]
    rows, columns = (_places(length, PLACES) for length in (height, width))
    squares = [(row, column) for row in rows for column in columns]
    covered = _covered(picture, squares)
    shown = [picture[np.newaxis], *covered]
    probabilities: list[float] = []
    for number, batch in enumerate(shown):
        if progress:
            progress(what, number, len(shown))
        given = answer(batch)[:, index].astype(np.float64)
        probabilities += np.where(np.isfinite(given), given, 0.0).tolist()
    if progress:
        progress(what, len(shown), len(shown))
    whole, *others = probabilities
    drops = whole - np.array(others).reshape(len(rows), len(columns))
    return Occlusion(whole, drops, spread_over(drops, (height, width)))


def rank_correlation(one: Occlusion, other: Occlusion) -> float:
    """Spearman's (1904), −1 to 1: whether two maps put the places of a picture into the same order. 0 where one of
    them is flat."""
    from scipy.stats import rankdata

    ranks = [rankdata(each.drops) for each in (one, other)]
    if min(np.ptp(rank) for rank in ranks) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def _side(length: int) -> int:
    return max(1, round(length / SHARE))


def _places(length: int, count: int) -> list[int]:
    """Where squares begin: their middles go from one edge to the other, so that no pixel is covered less often."""
    half = _side(length) / 2
    return [round(place) for place in np.linspace(-half, length - half, count)]


def _covered(picture: NDArray[np.uint8], squares: list[tuple[int, int]]) -> list[NDArray[np.uint8]]:
    """A picture for each square, in batches."""
    height, width = (_side(length) for length in picture.shape[:2])
    colour = np.rint(picture.mean(axis=(0, 1))).astype(np.uint8)
    pictures = np.repeat(picture[np.newaxis], len(squares), axis=0)
    for one, (row, column) in zip(pictures, squares, strict=True):
        one[max(row, 0) : row + height, max(column, 0) : column + width] = colour
    return [pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)]


def spread_over(drops: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """An `Occlusion`'s drops as a map of a picture of that height and width: see `Occlusion.spread`."""
    from scipy.ndimage import gaussian_filter

    total, count = np.zeros(size), np.zeros(size)
    height, width = (_side(length) for length in size)
    for row, values in zip(_places(size[0], drops.shape[0]), drops, strict=True):
        for column, drop in zip(_places(size[1], drops.shape[1]), values, strict=True):
            covered = slice(max(row, 0), row + height), slice(max(column, 0), column + width)
            total[covered] += drop
            count[covered] += 1
    steps = [length / count / 2 for length, count in zip(size, drops.shape, strict=True)]
    found: NDArray[np.float64] = gaussian_filter(total / np.maximum(count, 1), steps, mode="nearest")
    return found
