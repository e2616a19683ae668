"""A picture while it is made worse: float64 [H, W, 3], 0 to 1, of the size that the model takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float64]

_ARTICLE_SIDE = 224  # pixels of the pictures for which Hendrycks and Dietterich chose their strengths


def in_pixels(length: float, image: Pixels) -> float:
    """A length of a picture of 224 × 224 as the same part of this one: lengths are scaled, so that a blur hides as
    much of a small picture as of a large one."""
    height, width = image.shape[:2]
    return float(length * np.sqrt(height * width) / _ARTICLE_SIDE)


def to_picture(image: Pixels) -> Image.Image:
    """Rounded to 8 bits; what is outside 0 to 1 is cut off."""
    return Image.fromarray(in_bytes(image))


def from_picture(picture: Image.Image) -> Pixels:
    return np.asarray(picture.convert("RGB"), np.float64) / 255


def in_bytes(image: Pixels) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    return rounded
