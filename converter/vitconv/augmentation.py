"""Random changes to training images. Never part of a model: what is exported sees pictures as they are.

Every function takes its randomness from the generator it is given, so that a batch is the same whenever it is
made again.
"""

from __future__ import annotations

import math

import numpy as np

from vitconv.models.catalogue import Recipe


def augment(images: np.ndarray, height: int, width: int, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """uint8 [N, H, W, 3] with H ≥ height and W ≥ width → float32 [N, height, width, 3] in 0–255.

    `recipe.flip` is taken as it stands: whoever calls knows whether the labels survive mirroring.
    """
    cut = random_crops(images, height, width, recipe.flip, rng)
    if recipe.rotation or recipe.zoom:
        cut = random_affine(cut, recipe.rotation, recipe.zoom, rng)
    if recipe.contrast:
        cut = random_contrast(cut, recipe.contrast, rng)
    return cut


def random_crops(images: np.ndarray, height: int, width: int, flip: bool, rng: np.random.Generator) -> np.ndarray:
    """Cuts height × width pixels out of each image at a random place; with `flip`, mirrors half of them."""
    count = len(images)
    tops = rng.integers(0, images.shape[1] - height + 1, count)
    lefts = rng.integers(0, images.shape[2] - width + 1, count)
    mirrored = (rng.random(count) < 0.5) & flip
    out = np.empty((count, height, width, 3), np.float32)
    for index, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        cut = images[index, top : top + height, left : left + width]
        out[index] = cut[:, ::-1] if mirrored[index] else cut
    return out


def random_affine(images: np.ndarray, rotation: float, zoom: float, rng: np.random.Generator) -> np.ndarray:
    """Turns and scales each image: angles are uniform in ±`rotation` turns, scales of height and of width, each on
    its own, in 1 ± `zoom`."""
    count = len(images)
    turns = rng.uniform(-rotation, rotation, count)
    scale_y = 1 + rng.uniform(-zoom, zoom, count)
    scale_x = 1 + rng.uniform(-zoom, zoom, count)
    return affine(images, turns, scale_y, scale_x)


def affine(images: np.ndarray, turns: np.ndarray, scale_y: np.ndarray, scale_x: np.ndarray) -> np.ndarray:
    """Turns float32 [N, H, W, 3] about its centre, counter-clockwise by `turns` full turns; then shows `scale_y`
    times its height and `scale_x` times its width. Bilinear, in one resampling; edges are reflected.

    `turns`, `scale_y`, `scale_x`: float [N].
    """
    import tensorflow as tf

    _, height, width, _ = images.shape
    angle = turns * 2 * math.pi
    # Rows of the map from an output pixel to the input pixel it is read from, about the image's centre.
    a, b = np.cos(angle) * scale_x, -np.sin(angle) * scale_y
    c, d = np.sin(angle) * scale_x, np.cos(angle) * scale_y
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    zero = np.zeros_like(angle)
    rows = (
        a, b, centre_x - a * centre_x - b * centre_y,
        c, d, centre_y - c * centre_x - d * centre_y,
        zero, zero,
    )  # fmt: skip
    transformed = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=np.stack(rows, axis=1).astype(np.float32),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    return np.asarray(transformed)


def random_contrast(images: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Scales each image's distance from its mean per channel by a factor in 1 ± `amount`; stays in 0–255."""
    factors = rng.uniform(1 - amount, 1 + amount, (len(images), 1, 1, 1)).astype(np.float32)
    means = images.mean(axis=(1, 2), keepdims=True)
    clipped: np.ndarray = np.clip((images - means) * factors + means, 0.0, 255.0)
    return clipped
