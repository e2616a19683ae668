"""Corruptions by how a camera is held: turned, too near or too far, shaking, of few pixels.

Pixelation has ImageNet-C's strengths (Hendrycks and Dietterich, 2019). The other strengths are our own: from what
one hardly sees to what no one would keep.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitconv.robustness.pixels import Pixels, from_picture, in_pixels, to_picture

_MOMENTS = 8  # into which the time is cut in which a row is exposed
_EXPOSURE = 0.25  # of the time in which all rows are read out


def pixelate(image: Pixels, strength: int, random: np.random.Generator) -> Pixels:
    """Brought to this share of its size and back, by means of boxes."""
    share = (0.6, 0.5, 0.4, 0.3, 0.25)[strength - 1]
    picture = to_picture(image)
    small = (max(1, int(picture.width * share)), max(1, int(picture.height * share)))
    coarse = picture.resize(small, Image.Resampling.BOX)
    return from_picture(coarse.resize(picture.size, Image.Resampling.BOX))


def rotation(image: Pixels, strength: int, random: np.random.Generator) -> Pixels:
    """Turned to one side; in the corners the picture goes on as its mirror image."""
    degrees = (5, 10, 15, 22, 30)[strength - 1] * random.choice((-1.0, 1.0))
    height, width = image.shape[:2]
    rim = (max(height, width) + 1) // 2
    around = to_picture(np.pad(image, ((rim, rim), (rim, rim), (0, 0)), mode="symmetric"))
    turned = around.rotate(degrees, Image.Resampling.BILINEAR)
    return from_picture(turned.crop((rim, rim, rim + width, rim + height)))


def scale(image: Pixels, strength: int, random: np.random.Generator) -> Pixels:
    """Nearer, so that its middle fills the picture, or further away, with its mirror image around."""
    factor = (1.1, 1.25, 1.4, 1.65, 2.0)[strength - 1]
    picture = to_picture(image)
    width, height = picture.size
    if random.random() < 0.5:
        cut = ((1 - 1 / factor) * width / 2, (1 - 1 / factor) * height / 2)
        box = (cut[0], cut[1], width - cut[0], height - cut[1])
        return from_picture(picture.resize(picture.size, Image.Resampling.BILINEAR, box=box))
    small = picture.resize(
        (max(1, round(width / factor)), max(1, round(height / factor))), Image.Resampling.BILINEAR
    )
    top, left = (height - small.height) // 2, (width - small.width) // 2
    rim = ((top, height - small.height - top), (left, width - small.width - left), (0, 0))
    return np.pad(from_picture(small), rim, mode="symmetric")


def shake(image: Pixels, strength: int, random: np.random.Generator) -> Pixels:
    """A shaking hand and a sensor that reads out row by row.

    While the rows are read from top to bottom, the camera moves along a smooth path. So each row is cut from
    another place, and straight edges bend. Each row is exposed for a while, in which the camera moves on: it is
    blurred along the path. The path is a sum of slow and faster swings in both directions, at most `reach` pixels
    from its middle.
    """
    reach = in_pixels((2, 4, 7, 11, 16)[strength - 1], image)
    swings = np.array((0.6, 1.4, 2.6))  # in the time in which all rows are read out
    sizes = 1 / swings
    phases = random.uniform(0, 2 * np.pi, (2, len(swings)))
    rows = np.arange(image.shape[0]) / image.shape[0]
    total = np.zeros_like(image)
    for moment in np.arange(_MOMENTS) / _MOMENTS * _EXPOSURE:
        angles = 2 * np.pi * swings * (rows + moment)[:, np.newaxis]
        down, right = (reach * (np.sin(angles + phase) @ sizes) / sizes.sum() for phase in phases)
        total += _cut_from(image, down, right)
    return total / _MOMENTS


def _cut_from(image: Pixels, down: NDArray[np.float64], right: NDArray[np.float64]) -> Pixels:
    """Each row from another place, so many pixels away: bilinear, the mirror image around. down, right: [H]."""
    height, width = image.shape[:2]
    place = np.arange(height) + down
    top = np.floor(place).astype(int)
    below = (place - top)[:, np.newaxis, np.newaxis]
    moved = image[_mirrored(top, height)] * (1 - below) + image[_mirrored(top + 1, height)] * below
    columns = np.arange(width) + right[:, np.newaxis]
    left = np.floor(columns).astype(int)
    beside = (columns - left)[..., np.newaxis]
    row = np.arange(height)[:, np.newaxis]
    near, far = moved[row, _mirrored(left, width)], moved[row, _mirrored(left + 1, width)]
    return np.asarray(near * (1 - beside) + far * beside)


def _mirrored(index: NDArray[np.int_], length: int) -> NDArray[np.int_]:
    """Indices beyond either end, brought back as a mirror at the edge would: -1 is 0, `length` is the last."""
    index = np.mod(index, 2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)
