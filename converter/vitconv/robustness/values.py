"""Corruptions of each pixel for itself: noise, light, colour, and JPEG, which stores them coarsely.

Each function takes a picture, a strength of 1 to 5 and a random generator. The strengths of all but white balance
are those of ImageNet-C (Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions
and perturbations", 2019).
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from vitconv.robustness.pixels import Pixels, from_picture, to_picture


def gaussian_noise(image: Pixels, strength: int, random: np.random.Generator) -> Pixels:
    """Normal noise of a fixed deviation, as of a sensor's electronics in low light."""
    deviation = (0.08, 0.12, 0.18, 0.26, 0.38)[strength - 1]
    return image + random.normal(scale=deviation, size=image.shape)


def shot_noise(image: Pixels, strength: int, random: np.random.Generator) -> Pixels:
    """Poisson noise: white is this many photons."""
    photons = (60, 25, 12, 5, 3)[strength - 1]
    return random.poisson(np.clip(image, 0, 1) * photons) / photons


def impulse_noise(image: Pixels, strength: int, random: np.random.Generator) -> Pixels:
    """This share of all values becomes 0 or 1, as of dead pixels and broken transfers."""
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[strength - 1]
    drawn = random.random(image.shape)
    return np.where(drawn < share / 2, 0.0, np.where(drawn < share, 1.0, image))


def brightness(image: Pixels, strength: int, random: np.random.Generator) -> Pixels:
    """Adds to HSV's value, the largest of the three colours; hue and saturation stay."""
    added = (0.1, 0.2, 0.3, 0.4, 0.5)[strength - 1]
    value = image.max(axis=2, keepdims=True)
    brighter = np.minimum(value + added, 1)
    black = value == 0  # it has no hue, and becomes grey
    return np.where(black, brighter, image * (brighter / np.where(black, 1, value)))


def contrast(image: Pixels, strength: int, random: np.random.Generator) -> Pixels:
    """Brings each colour closer to its mean over the picture."""
    kept = (0.4, 0.3, 0.2, 0.1, 0.05)[strength - 1]
    mean = image.mean(axis=(0, 1), keepdims=True)
    return np.asarray((image - mean) * kept + mean)


def jpeg(image: Pixels, strength: int, random: np.random.Generator) -> Pixels:
    """Stores the picture as JPEG of a low quality."""
    quality = (25, 18, 15, 10, 7)[strength - 1]
    stored = io.BytesIO()
    to_picture(image).save(stored, "JPEG", quality=quality)
    return from_picture(Image.open(stored))


def white_balance(image: Pixels, strength: int, random: np.random.Generator) -> Pixels:
    """A phone that takes the light for warmer or colder than it is.

    White balance is a gain of each colour in linear light. Red and blue get gains that are wrong by this many
    stops in opposite directions; then all three are scaled so that the picture's mean luminance (Rec. 709) stays.
    """
    stops = (0.2, 0.4, 0.6, 0.85, 1.1)[strength - 1] * random.choice((-1.0, 1.0))
    light = _linear(np.clip(image, 0, 1))
    luminance = np.array((0.2126, 0.7152, 0.0722))
    tinted = light * 2 ** np.array((stops, 0.0, -stops))
    before, after = float((light @ luminance).mean()), float((tinted @ luminance).mean())
    return _srgb(tinted * (before / after if after > 0 else 1.0))


def _linear(value: Pixels) -> Pixels:
    """sRGB (IEC 61966-2-1) → linear light, both 0 to 1."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _srgb(light: Pixels) -> Pixels:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
