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
    if recipe.crop_area < 1:
        cut = random_resized_crops(images, height, width, recipe.crop_area, recipe.flip, rng)
    else:
        cut = random_crops(images, height, width, recipe.flip, rng)
    if recipe.rotation or recipe.zoom:
        cut = random_affine(cut, recipe.rotation, recipe.zoom, rng)
    if recipe.contrast:
        cut = random_contrast(cut, recipe.contrast, rng)
    if recipe.colour:
        cut = random_colour(cut, recipe.colour, rng)
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


def random_resized_crops(
    images: np.ndarray, height: int, width: int, least_area: float, flip: bool, rng: np.random.Generator
) -> np.ndarray:
    """Cuts a part out of each image at a random place, of `least_area` to all of its area and of an aspect from
    3:4 to 4:3 where that fits, and scales it to height × width; with `flip`, mirrors half of them. Bilinear."""
    count, full_height, full_width, _ = images.shape
    areas = rng.uniform(least_area, 1, count) * full_height * full_width
    aspects = np.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3), count))
    cut_heights = np.minimum(np.sqrt(areas / aspects), full_height)
    cut_widths = np.minimum(np.sqrt(areas * aspects), full_width)
    tops = rng.random(count) * (full_height - cut_heights)
    lefts = rng.random(count) * (full_width - cut_widths)
    mirrored = (rng.random(count) < 0.5) & flip
    return resized_crops(images, height, width, tops, lefts, cut_heights, cut_widths, mirrored)


def resized_crops(
    images: np.ndarray,
    height: int,
    width: int,
    tops: np.ndarray,
    lefts: np.ndarray,
    cut_heights: np.ndarray,
    cut_widths: np.ndarray,
    mirrored: np.ndarray,
) -> np.ndarray:
    """The given part of each image, in pixels (float [N] each, `mirrored` bool [N]), scaled to height × width."""
    # An output pixel's centre (x + ½) · scale + left − ½ in the input; a mirrored one counts from the right.
    scale_y, scale_x = cut_heights / height, cut_widths / width
    a = np.where(mirrored, -scale_x, scale_x)
    start_x = np.where(mirrored, lefts + cut_widths - scale_x / 2, lefts + scale_x / 2) - 0.5
    start_y = tops + scale_y / 2 - 0.5
    zero = np.zeros_like(a)
    rows = np.stack([a, zero, start_x, zero, scale_y, start_y, zero, zero], axis=1)
    return _project(images.astype(np.float32), rows, height, width)


def random_colour(images: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Scales each image's brightness, and each pixel's distance from its grey, by factors in 1 ± `amount`; stays
    in 0–255."""
    shape = (len(images), 1, 1, 1)
    brightness = rng.uniform(1 - amount, 1 + amount, shape).astype(np.float32)
    saturation = rng.uniform(1 - amount, 1 + amount, shape).astype(np.float32)
    grey = images.mean(axis=3, keepdims=True)
    clipped: np.ndarray = np.clip(((images - grey) * saturation + grey) * brightness, 0.0, 255.0)
    return clipped


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
    return _project(images, np.stack(rows, axis=1), height, width)


def _project(images: np.ndarray, rows: np.ndarray, height: int, width: int) -> np.ndarray:
    """float32 [N, H, W, 3] → [N, height, width, 3]: `rows` [N, 8] map an output pixel to where it is read from."""
    import tensorflow as tf

    transformed = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=rows.astype(np.float32),
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
