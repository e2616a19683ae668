"""The ways in which pictures are made worse, each at five strengths, the same every time.

Ten are after Hendrycks and Dietterich (2019); rotation and scale are usual beside them. Phones add a wrong white
balance and a shaking hand. NumPy, SciPy and Pillow draw them. The library that most articles name,
imagecorruptions 1.1.2, does not run with NumPy 2 or SciPy 2, and needs OpenCV and an old scikit-image;
albumentations brings OpenCV, too, and has no corruptions with these strengths.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitconv.robustness import camera, optics, values
from vitconv.robustness.pixels import Pixels, in_bytes

STRENGTHS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Corruption:
    """`name` is its key in documents, `title` what people read."""

    name: str
    title: str
    apply: Callable[[Pixels, int, np.random.Generator], Pixels]


CORRUPTIONS = (
    Corruption("gaussian_noise", "Gaussian noise", values.gaussian_noise),
    Corruption("shot_noise", "shot noise", values.shot_noise),
    Corruption("impulse_noise", "impulse noise", values.impulse_noise),
    Corruption("defocus_blur", "defocus", optics.defocus),
    Corruption("motion_blur", "motion blur", optics.motion_blur),
    Corruption("brightness", "brightness", values.brightness),
    Corruption("contrast", "low contrast", values.contrast),
    Corruption("fog", "fog", optics.fog),
    Corruption("pixelate", "pixelation", camera.pixelate),
    Corruption("jpeg", "JPEG", values.jpeg),
    Corruption("rotation", "rotation", camera.rotation),
    Corruption("scale", "scale", camera.scale),
    Corruption("white_balance", "white balance", values.white_balance),
    Corruption("shake", "camera shake", camera.shake),
)
TITLES = {one.name: one.title for one in CORRUPTIONS}


def corrupt(
    images: NDArray[np.uint8], indices: Iterable[int], corruption: Corruption, strength: int
) -> NDArray[np.uint8]:
    """uint8 [N, H, W, 3] → the same, made worse. `indices` name the images: what is drawn by chance for one
    of that index is the same every time and at every strength, whichever others are there."""
    seed = zlib.crc32(corruption.name.encode())
    worse = np.empty_like(images)
    for place, index in enumerate(indices):
        random = np.random.default_rng((seed, index))
        worse[place] = in_bytes(corruption.apply(images[place] / 255.0, strength, random))
    return worse
