"""What a network has seen, in four numbers a channel: kept in the card, for later images to be compared with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Pixels:
    """Of the training images, 0–255, for red, green and blue: mean, standard deviation, least and greatest."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    min: tuple[int, int, int]
    max: tuple[int, int, int]

    def to_json(self) -> dict[str, Any]:
        """As the card's `pixels` holds it."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def of(cls, images: np.ndarray) -> Pixels:
        """Of uint8 [N, H, W, 3]. Some images at a time: int64 takes memory."""
        total, squares = np.zeros(3, np.int64), np.zeros(3, np.int64)
        least, greatest = np.full(3, 255), np.zeros(3, np.int64)
        for start in range(0, len(images), 64):
            pixels = images[start : start + 64].astype(np.int64)
            total += pixels.sum(axis=(0, 1, 2))
            squares += (pixels**2).sum(axis=(0, 1, 2))
            least = np.minimum(least, pixels.min(axis=(0, 1, 2)))
            greatest = np.maximum(greatest, pixels.max(axis=(0, 1, 2)))
        count = images.size // 3
        mean = total / count
        std = np.sqrt(squares / count - mean**2)
        return cls(tuple(mean.tolist()), tuple(std.tolist()), tuple(least.tolist()), tuple(greatest.tolist()))
