"""What random changes do to training images, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from vitconv.models.catalogue import CATALOGUE, Recipe
from vitconv.training.steps.augmentation import (
    affine,
    augment,
    random_affine,
    random_colour,
    random_contrast,
    random_crops,
    random_resized_crops,
    resized_crops,
)

pytestmark = pytest.mark.filterwarnings(
    # Raised inside TensorFlow and Keras while they are imported.
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)

# TensorFlow's float32 coordinates against scipy's float64: at most 0.00014 of 255 was measured.
SAME_PICTURE = 0.002

PLAIN = Recipe("adam", 0.001, batch_size=4, epochs=1, flip=False)


def noise(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_recipe_without_changes_gives_the_same_pixels_as_floats() -> None:
    images = noise(5, 8, 6)
    out = augment(images, 8, 6, PLAIN, rng())
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, images)


def test_zero_amounts_change_nothing() -> None:
    images = noise(3, 9, 12).astype(np.float32)
    np.testing.assert_allclose(random_affine(images, 0.0, 0.0, rng()), images, atol=SAME_PICTURE)
    np.testing.assert_allclose(random_contrast(images, 0.0, rng()), images, atol=1e-4)


@pytest.mark.parametrize("kind", ["article", "best"])
@pytest.mark.parametrize("name", ["mobilevit_xxs", "eanet"])
def test_a_batch_stays_in_range_and_depends_on_its_generator_alone(name: str, kind: str) -> None:
    recipe = CATALOGUE[name].find_recipe(kind)
    images = noise(16, 35, 38)
    images[0], images[1] = 0, 255
    before = images.copy()
    out = augment(images, 32, 32, recipe, rng(1))
    assert out.shape == (16, 32, 32, 3)
    assert out.dtype == np.float32
    assert out.min() >= 0
    assert out.max() <= 255
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(augment(images, 32, 32, recipe, rng(1)), out)
    assert not np.array_equal(augment(images, 32, 32, recipe, rng(2)), out)


def test_crops_are_parts_of_the_image_and_reach_every_edge() -> None:
    # Each pixel holds its own place, so that a crop says where it was cut.
    rows, columns = np.mgrid[:5, :7].astype(np.uint8)
    image = np.stack([rows, columns, rows], axis=-1)
    crops = random_crops(np.repeat(image[None], 400, axis=0), 3, 4, False, rng())
    places = set()
    for crop in crops:
        top, left = int(crop[0, 0, 0]), int(crop[0, 0, 1])
        np.testing.assert_array_equal(crop, image[top : top + 3, left : left + 4])
        places.add((top, left))
    assert places == {(top, left) for top in range(3) for left in range(4)}


def test_only_with_flip_about_half_of_the_images_are_mirrored() -> None:
    images = noise(400, 4, 5)
    np.testing.assert_array_equal(random_crops(images, 4, 5, False, rng()), images)
    out = random_crops(images, 4, 5, True, rng())
    mirrored = np.array([np.array_equal(new, old[:, ::-1]) for new, old in zip(out, images, strict=True)])
    same = np.array([np.array_equal(new, old) for new, old in zip(out, images, strict=True)])
    assert np.all(mirrored ^ same)
    assert 150 < mirrored.sum() < 250


def test_a_quarter_turn_counter_clockwise_takes_the_right_edge_to_the_top() -> None:
    image = np.zeros((1, 5, 5, 3), np.float32)
    image[0, 2, 4] = 255
    turned = affine(image, np.array([0.25]), np.ones(1), np.ones(1))
    wanted = np.zeros_like(image)
    wanted[0, 0, 2] = 255
    np.testing.assert_allclose(turned, wanted, atol=SAME_PICTURE)
    images = noise(2, 6, 6).astype(np.float32)
    quarter = affine(images, np.full(2, 0.25), np.ones(2), np.ones(2))
    np.testing.assert_allclose(quarter, np.rot90(images, axes=(1, 2)), atol=SAME_PICTURE)


def test_scales_are_of_what_is_seen_each_along_its_own_side() -> None:
    image = np.zeros((1, 9, 9, 3), np.float32)
    image[0, 0, 4] = 255  # four rows above the centre
    image[0, 4, 8, 0] = 100  # four columns right of the centre
    seen = affine(image, np.zeros(1), np.array([2.0]), np.array([4.0]))
    assert seen[0, 2, 4, 1] == pytest.approx(255, abs=SAME_PICTURE)
    assert seen[0, 4, 5, 0] == pytest.approx(100, abs=SAME_PICTURE)


@pytest.mark.parametrize(("turns", "scale_y", "scale_x"), [(0.1, 1.0, 1.0), (-0.07, 1.2, 0.8), (0.43, 0.85, 1.15)])
def test_turning_and_scaling_equal_scipy_s(turns: float, scale_y: float, scale_x: float) -> None:
    # Smooth inside, so that a coordinate's rounding is not a step in brightness; another size on each side.
    image = ndimage.gaussian_filter(noise(1, 20, 26, seed=3)[0].astype(np.float64), (2, 2, 0))
    image = (image - image.min()) / np.ptp(image) * 255
    cos, sin = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    # scipy's axes are (row, column), rows growing downwards: output place -> place it is read from.
    matrix = np.array([[cos, sin], [-sin, cos]]) @ np.diag([scale_y, scale_x])
    centre = (np.array(image.shape[:2]) - 1) / 2
    wanted = np.stack(
        [
            ndimage.affine_transform(image[..., c], matrix, centre - matrix @ centre, order=1, mode="reflect")
            for c in range(3)
        ],
        axis=-1,
    )
    got = affine(image[None].astype(np.float32), np.array([turns]), np.array([scale_y]), np.array([scale_x]))[0]
    np.testing.assert_allclose(got, wanted, atol=SAME_PICTURE)
    # The tolerance tells a turn the other way from the right one.
    wrong = affine(image[None].astype(np.float32), np.array([-turns]), np.array([scale_y]), np.array([scale_x]))[0]
    assert np.abs(wrong - wanted).max() > 1000 * SAME_PICTURE


def test_random_turns_and_scales_stay_within_their_amounts_and_use_them() -> None:
    """The place of one bright spot after many random changes says how far it was turned and scaled."""
    size, radius = 61, 8  # far enough from the edges that no reflection of the spot comes into view
    image = np.zeros((600, size, size, 3), np.float32)
    centre = size // 2
    image[:, centre, centre + radius] = 255
    changed = random_affine(image, 0.1, 0.2, rng(4))[..., 0]
    rows, columns = np.mgrid[:size, :size] - centre
    weight = changed / changed.sum(axis=(1, 2), keepdims=True)
    y, x = (weight * rows).sum(axis=(1, 2)), (weight * columns).sum(axis=(1, 2))
    turns, distance = np.arctan2(-y, x) / (2 * np.pi), np.hypot(x, y)
    # Height and width are scaled apart, which changes the angle, too: atan(1.5 · tan 36°) is 0.132 turns.
    assert np.abs(turns).max() < 0.135
    assert turns.max() > 0.09
    assert turns.min() < -0.09
    assert radius / 1.2 - 0.5 < distance.min() < radius / 1.15
    assert radius / 0.85 < distance.max() < radius / 0.8 + 0.5


def test_contrast_keeps_each_channel_s_mean_and_scales_the_distance_from_it() -> None:
    images = noise(200, 6, 6).astype(np.float32) / 4 + 96  # far from 0 and 255, so nothing is cut off
    out = random_contrast(images, 0.3, rng())
    means = images.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(out.mean(axis=(1, 2), keepdims=True), means, atol=0.01)
    factors = (out - means).std(axis=(1, 2)) / (images - means).std(axis=(1, 2))
    np.testing.assert_allclose(factors, factors[:, :1].repeat(3, axis=1), rtol=1e-3)
    assert 0.7 <= factors.min() < 0.75
    assert 1.25 < factors.max() <= 1.3 + 1e-3


def test_contrast_is_cut_off_at_black_and_white() -> None:
    images = np.zeros((50, 2, 2, 3), np.float32)
    images[:, 0] = 255
    out = random_contrast(images, 0.9, rng())
    assert out.min() == 0
    assert out.max() == 255


# --- resized crops and colour ---


def test_a_resized_crop_is_the_part_that_was_asked_for() -> None:
    """Doubled in height and halved in width by hand: bilinear with pixel centres at one half."""
    image = np.array([[10, 20, 30, 40], [50, 60, 70, 80], [90, 100, 110, 120]], np.uint8)
    images = np.repeat(image[None, :, :, None], 3, axis=3)
    one = np.ones(1)
    cut = resized_crops(images, 4, 2, one, 0 * one, 2 * one, 4 * one, np.array([False]))
    # Of rows 1 and 2, columns in pairs: means 55, 75 and 95, 115; rows a quarter and three quarters between.
    wanted = np.array([[45, 65], [65, 85], [85, 105], [95, 115]])  # the first reaches into row 0
    np.testing.assert_allclose(cut[0, :, :, 0], wanted, atol=SAME_PICTURE)
    mirrored = resized_crops(images, 4, 2, one, 0 * one, 2 * one, 4 * one, np.array([True]))
    np.testing.assert_allclose(mirrored[0, :, :, 0], wanted[:, ::-1], atol=SAME_PICTURE)


def test_resized_crops_show_from_the_least_area_to_all() -> None:
    """On a picture whose channels are its own coordinates, the corners say what was cut."""
    rows, columns = np.mgrid[0:200, 0:100]
    picture = np.stack([rows, columns, columns], axis=-1).astype(np.uint8)
    out = random_resized_crops(np.stack([picture] * 400), 32, 32, 0.3, True, rng())
    heights = (out[:, -1, 0, 0] - out[:, 0, 0, 0]) * 32 / 31
    widths = np.abs(out[:, 0, -1, 1] - out[:, 0, 0, 1]) * 32 / 31
    areas = heights * widths / (200 * 100)
    # An aspect of 3:4 does not fit the whole of a picture of 2:1: such a part is cut smaller.
    assert areas.min() > 0.29
    assert areas.max() < 1.01
    assert areas.max() > 0.6
    mirrored = np.mean(out[:, 0, -1, 1] < out[:, 0, 0, 1])
    assert 0.4 < mirrored < 0.6


def test_colour_scales_brightness_and_distance_from_grey() -> None:
    images = np.random.default_rng(0).uniform(80, 120, (200, 4, 4, 3)).astype(np.float32)
    out = random_colour(images, 0.2, rng())
    brightness = out.mean(axis=3) / images.mean(axis=3)  # of each pixel: the same all over an image
    np.testing.assert_allclose(brightness, np.broadcast_to(brightness[:, :1, :1], brightness.shape), rtol=1e-4)
    spread = (out.std(axis=3) / images.std(axis=3))[:, 0, 0] / brightness[:, 0, 0]
    for factors in (brightness[:, 0, 0], spread):
        assert factors.min() > 0.799
        assert factors.max() < 1.201
        assert factors.std() > 0.1
