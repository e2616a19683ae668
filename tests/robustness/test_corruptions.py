"""Bad pictures: the same every time, worse with every strength, and what their formulas say."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vitconv.data.pictures.images import ImageSpec
from vitconv.data.pictures.photographs import sample_photographs
from vitconv.robustness import camera, optics, values
from vitconv.robustness.corruptions import CORRUPTIONS, STRENGTHS, TITLES, Corruption, corrupt

# What is not drawn by chance.
SURE = {"defocus_blur", "brightness", "contrast", "pixelate", "jpeg"}


def random(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def grey(value: float = 0.5, height: int = 64, width: int = 64) -> NDArray[np.float64]:
    return np.full((height, width, 3), value)


def changed(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.mark.parametrize("kind", CORRUPTIONS, ids=TITLES)
@pytest.mark.parametrize("size", [(96, 96), (40, 72), (5, 3)])
def test_each_is_the_same_every_time_and_goes_further_with_every_strength(
    kind: Corruption, size: tuple[int, int]
) -> None:
    images = sample_photographs(ImageSpec(*size))[:4]
    by_strength = [corrupt(images, range(4), kind, strength) for strength in STRENGTHS]
    for worse in by_strength:
        assert worse.dtype == np.uint8
        assert worse.shape == images.shape
    assert np.array_equal(by_strength[2], corrupt(images, range(4), kind, 3))
    # Whichever others are there, and in whatever order.
    assert np.array_equal(by_strength[2][[3, 1]], corrupt(images[[3, 1]], [3, 1], kind, 3))
    same = np.array_equal(by_strength[2], corrupt(images, range(100, 104), kind, 3))
    if min(size) > 5:
        assert same == (kind.name in SURE)
        distances = [changed(worse, images) for worse in by_strength]
        assert distances[0] > 0.5
        if kind.name != "fog":  # that gets denser to 3, and then patchy
            assert distances == sorted(distances)


def test_there_are_fourteen_and_each_has_a_name_of_its_own() -> None:
    assert len(CORRUPTIONS) == len(TITLES) == len(set(TITLES.values())) == 14


@pytest.mark.parametrize(("strength", "deviation"), [(1, 0.08), (5, 0.38)])
def test_gaussian_noise_has_the_article_s_deviation(strength: int, deviation: float) -> None:
    noise = values.gaussian_noise(grey(), strength, random()) - 0.5
    assert noise.std() == pytest.approx(deviation, rel=0.03)
    assert abs(noise.mean()) < 0.01


def test_shot_noise_grows_with_the_root_of_the_light() -> None:
    dark, light = (values.shot_noise(grey(value), 2, random()) for value in (0.1, 0.9))
    assert light.std() / dark.std() == pytest.approx(3, rel=0.05)
    assert light.std() == pytest.approx((0.9 / 25) ** 0.5, rel=0.03)


def test_impulses_are_black_and_white_by_halves() -> None:
    worse = values.impulse_noise(grey(), 5, random())
    assert [np.mean(worse == value) for value in (0, 1)] == pytest.approx([0.135, 0.135], abs=0.01)


def test_brightness_keeps_the_hue_and_contrast_the_mean() -> None:
    colour = np.tile([0.4, 0.2, 0.1], (4, 4, 1))
    assert values.brightness(colour, 2, random())[0, 0] == pytest.approx([0.6, 0.3, 0.15])
    assert values.brightness(grey(0.0), 2, random()) == pytest.approx(grey(0.2))
    picture = random().random((32, 32, 3))
    flat = values.contrast(picture, 3, random())
    assert flat.mean(axis=(0, 1)) == pytest.approx(picture.mean(axis=(0, 1)))
    assert flat.std(axis=(0, 1)) == pytest.approx(0.2 * picture.std(axis=(0, 1)))


def test_jpeg_is_pillow_s_of_the_article_s_quality() -> None:
    (picture,) = sample_photographs(ImageSpec(48, 48))[:1]
    stored = io.BytesIO()
    Image.fromarray(picture).save(stored, "JPEG", quality=7)
    jpeg = next(one for one in CORRUPTIONS if one.name == "jpeg")
    assert np.array_equal(corrupt(picture[None], [0], jpeg, 5)[0], np.asarray(Image.open(stored)))


def test_white_balance_moves_red_and_blue_apart_in_linear_light_and_keeps_the_luminance() -> None:
    red, green, blue = values.white_balance(grey(), 3, random())[0, 0]
    light = [((value + 0.055) / 1.055) ** 2.4 for value in (red, green, blue)]
    assert abs(np.log2(light[0] / light[1])) == pytest.approx(0.6)
    assert light[0] / light[1] == pytest.approx(light[1] / light[2])
    before = ((0.5 + 0.055) / 1.055) ** 2.4
    assert np.dot(light, [0.2126, 0.7152, 0.0722]) == pytest.approx(before)
    sides = {values.white_balance(grey(), 3, random(seed))[0, 0, 0] > 0.5 for seed in range(8)}
    assert sides == {True, False}
    assert not values.white_balance(grey(0.0), 3, random()).any()


def test_defocus_makes_a_disk_of_the_article_s_radius_whatever_the_size() -> None:
    for side in (224, 112):
        point = np.zeros((side, side, 3))
        point[side // 2, side // 2] = 1
        disk = optics.defocus(point, 5, random())[..., 0]
        assert disk.sum() == pytest.approx(1)
        inside = np.count_nonzero(disk > disk.max() / 2)
        assert inside == pytest.approx(np.pi * (10 * side / 224) ** 2, rel=0.05)


def test_motion_leaves_a_trace_in_one_direction() -> None:
    point = np.zeros((224, 224, 3))
    point[112, 112] = 1
    trace = optics.motion_blur(point, 5, random())[..., 0]
    rows, columns = np.nonzero(trace > 1e-4)
    assert 20 < columns.max() - columns.min() <= 42
    assert min(abs(columns.min() - 112), abs(columns.max() - 112)) <= 2  # to one side only
    assert rows.max() - rows.min() <= columns.max() - columns.min() + 2  # within 45°
    assert trace[111:114, 110:115].max() == trace.max()  # it fades


@pytest.mark.parametrize("blur", [optics.defocus, optics.motion_blur, camera.shake, camera.rotation, camera.scale])
def test_a_grey_picture_stays_grey_up_to_its_edges(blur: object) -> None:
    assert callable(blur)
    assert blur(grey(), 5, random()) == pytest.approx(grey(), abs=1 / 255)


def test_fog_is_uneven_and_leaves_the_brightest_as_bright() -> None:
    picture = np.zeros((64, 64, 3))
    picture[:, 32:] = 0.8
    foggy = optics.fog(picture, 1, random())
    assert 0.6 < foggy.max() <= 0.8
    assert foggy[:, :32].mean() > 0.1
    assert foggy[:, :32].std() > 0.05


def test_rotation_turns_by_the_angle() -> None:
    steep = np.zeros((101, 101, 3))
    steep[50:] = 1  # an edge along the horizontal
    worse = camera.rotation(steep, 5, random())[..., 0]
    heights = [np.count_nonzero(worse[20:81, column] < 0.5) for column in (30, 70)]
    assert abs(heights[0] - heights[1]) / 40 == pytest.approx(np.tan(np.deg2rad(30)), abs=0.06)


def test_scale_goes_nearer_or_further_and_fills_the_rim() -> None:
    picture = np.full((60, 60, 3), 0.25)
    picture[28:32, 28:32] = 1
    found = [camera.scale(picture, 5, random(seed))[..., 0] for seed in range(8)]
    # Nearer, or further with halves of its mirror images at the sides and quarters at the corners.
    assert {np.count_nonzero(one > 0.6) for one in found} == {8 * 8, 4 * 2 * 2}
    assert min(one.min() for one in found) == pytest.approx(0.25, abs=1 / 255)


def test_a_shaking_camera_bends_upright_lines_and_blurs_them() -> None:
    lines = np.zeros((224, 224, 3))
    lines[:, 110:112] = 1
    bent = camera.shake(lines, 5, random())[..., 0]
    middles = (bent * np.arange(224)).sum(axis=1) / bent.sum(axis=1)
    assert 4 < middles.max() - middles.min() <= 32
    assert np.abs(np.diff(middles)).max() < 1.5  # no row jumps
    assert np.median(np.count_nonzero(bent > 0.01, axis=1)) > 3
    assert bent.sum(axis=1) == pytest.approx(np.full(224, 2.0))
