"""What random changes do to training images, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from vitconv.augmentation import affine, augment, random_affine, random_contrast, random_crops
from vitconv.models.catalogue import CATALOGUE, Recipe

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


@pytest.mark.parametrize("name", ["mobilevit_xxs", "eanet"])
def test_a_batch_stays_in_range_and_depends_on_its_generator_alone(name: str) -> None:
    recipe = CATALOGUE[name].recipe
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
