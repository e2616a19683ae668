"""What a network has seen, in a few numbers: kept in the card, for later images to be compared with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.foundation import documents

_GRID = 8  # cells of a side, by which images of any size can be compared
_AT_ONCE = 1 << 22  # values, which take 32 MiB in 64 bits


@dataclass(frozen=True)
class Pixels:
    """Of images, 0–255. Mean, standard deviation, least and greatest of red, green and blue.

    spread: how much one image differs from another: the standard deviation over the images, in each cell of an 8×8
    grid and each channel, and of these the root mean square. 0 where all are the same.
    colour: mean difference between a pixel's greatest and least channel. 0 where all is grey.
    detail: mean difference between neighbouring pixels of a row.
    The last three are None in the card of an earlier version.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    min: tuple[int, int, int]
    max: tuple[int, int, int]
    spread: float | None = None
    colour: float | None = None
    detail: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As the card's `pixels` holds it."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value is not None
        }

    @classmethod
    def from_json(cls, value: Any) -> Pixels:
        """Raises InputError for anything else."""
        return documents.convert(value, cls)

    @classmethod
    def of(cls, images: NDArray[np.uint8]) -> Pixels:
        """Of uint8 [N, H, W, 3]. Some images at a time: 64 bits take memory."""
        total, squares = np.zeros(3, np.int64), np.zeros(3, np.int64)
        least, greatest = np.full(3, 255), np.zeros(3, np.int64)
        cells, cell_squares = np.zeros(()), np.zeros(())
        colour = detail = 0
        step = max(1, _AT_ONCE // int(np.prod(images.shape[1:])))
        for start in range(0, len(images), step):
            part = images[start : start + step]
            pixels = part.astype(np.int64)
            total += pixels.sum(axis=(0, 1, 2))
            squares += (pixels**2).sum(axis=(0, 1, 2))
            least = np.minimum(least, pixels.min(axis=(0, 1, 2)))
            greatest = np.maximum(greatest, pixels.max(axis=(0, 1, 2)))
            means = thumbnails(part)
            cells = cells + means.sum(axis=0)
            cell_squares = cell_squares + (means**2).sum(axis=0)
            colour += int((part.max(axis=-1) - part.min(axis=-1)).sum(dtype=np.int64))
            detail += int(np.abs(np.diff(pixels, axis=2)).sum())
        count, neighbours = images.size // 3, max(images[:, :, 1:].size, 1)
        mean = total / count
        std = np.sqrt(squares / count - mean**2)
        variance = np.maximum(cell_squares / len(images) - (cells / len(images)) ** 2, 0)
        return cls(
            tuple(mean.tolist()),
            tuple(std.tolist()),
            tuple(least.tolist()),
            tuple(greatest.tolist()),
            float(np.sqrt(variance.mean())),
            colour / count,
            detail / neighbours,
        )

    @property
    def brightness(self) -> float:
        """Mean of all channels."""
        return float(np.mean(self.mean))

    @property
    def contrast(self) -> float:
        """Standard deviation within the channels: their root mean square."""
        return float(np.sqrt(np.mean(np.square(self.std))))


def thumbnails(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """uint8 [N, H, W, 3] → the means of the cells of a grid, [N, at most 8, at most 8, 3]."""
    sums = images.astype(np.float64)
    for axis in (1, 2):
        size = images.shape[axis]
        starts = np.unique(np.arange(_GRID) * size // _GRID)
        width = np.diff(starts, append=size)
        sums = np.add.reduceat(sums, starts, axis=axis) / width.reshape([-1 if a == axis else 1 for a in range(4)])
    return sums
