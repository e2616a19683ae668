"""Corruptions on the light's way to the sensor: defocus, motion, fog.

Strengths are those of ImageNet-C (Hendrycks and Dietterich, 2019), whose lengths are pixels of a picture of
224 × 224.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitconv.robustness.pixels import Pixels, in_pixels

_EDGE = 0.25  # pixels over which a disk's edge falls: a radius below half a pixel must blur, too


def defocus(image: Pixels, strength: int, random: np.random.Generator) -> Pixels:
    """A point becomes a disk, as wide as the aperture."""
    radius = in_pixels((3, 4, 6, 8, 10)[strength - 1], image)
    reach = int(np.ceil(radius + 4 * _EDGE))
    along = np.arange(-reach, reach + 1)
    distance = np.hypot(along[:, np.newaxis], along)
    return _blurred(image, 1 / (1 + np.exp((distance - radius) / _EDGE)))


def motion_blur(image: Pixels, strength: int, random: np.random.Generator) -> Pixels:
    """A point leaves a trace in one direction, within 45° of the horizontal, that fades as half a normal curve."""
    reach, deviation = ((20, 3), (30, 5), (30, 8), (30, 12), (40, 15))[strength - 1]
    angle = np.deg2rad(random.uniform(-45, 45))
    away = np.arange(0, in_pixels(reach, image) + 0.25, 0.25)
    weights = np.exp(-(away**2) / (2 * in_pixels(deviation, image) ** 2))
    return _blurred(image, _line(away * np.sin(angle), away * np.cos(angle), weights))


def fog(image: Pixels, strength: int, random: np.random.Generator) -> Pixels:
    """Adds light of clouds, then darkens so that the brightest pixel stays as bright.

    The clouds are fractal noise. The article draws it by the diamond-square method; here it is a sum of octaves of
    smooth noise, each `decay` times fainter than the one before, which has the same spectrum and no grid in it.
    """
    amount, decay = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))[strength - 1]
    brightest = float(image.max())
    clouds = _fractal(image.shape[0], image.shape[1], decay, random)
    return (image + amount * clouds[..., np.newaxis]) * (brightest / (brightest + amount))


def _blurred(image: Pixels, kernel: NDArray[np.float64]) -> Pixels:
    """Convolved; outside its edges the picture goes on as its mirror image."""
    from scipy.signal import fftconvolve

    reach = kernel.shape[0] // 2
    around = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    found = fftconvolve(around, (kernel / kernel.sum())[..., np.newaxis], mode="valid", axes=(0, 1))
    return np.asarray(found, np.float64)


def _line(
    down: NDArray[np.float64], right: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A kernel of points between pixels, each shared among its four neighbours."""
    reach = int(np.ceil(max(np.abs(down).max(), np.abs(right).max()))) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    top, left = np.floor(down).astype(int), np.floor(right).astype(int)
    below, beside = down - top, right - left
    for row, high in ((top, 1 - below), (top + 1, below)):
        for column, wide in ((left, 1 - beside), (left + 1, beside)):
            np.add.at(kernel, (row + reach, column + reach), weights * high * wide)
    return kernel


def _fractal(height: int, width: int, decay: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Clouds, float64 [height, width], 0 to 1."""
    total, amplitude, cells = np.zeros((height, width)), 1.0, 2
    while cells <= max(height, width):
        coarse = Image.fromarray(random.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32))
        total += amplitude * np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64)
        amplitude, cells = amplitude / decay, 2 * cells
    total -= total.min()
    return total / max(float(total.max()), 1e-12)
