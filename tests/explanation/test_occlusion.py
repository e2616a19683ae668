"""Occlusion maps: where the answer rests is where they are warm, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vitconv.explanation.occlusion import PLACES, Occlusion, occlusion, rank_correlation, spread_over

SIZE = (40, 60)


def bright_spot(row: int, column: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    picture = np.full((*size, 3), 40, np.uint8)
    picture[row - 2 : row + 2, column - 2 : column + 2] = 250
    return picture


def sees_light(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Class 1 is as probable as the brightest pixel is bright."""
    light = pictures.max(axis=(1, 2, 3)).astype(np.float32) / 255
    return np.stack([1 - light, light], axis=1)


@pytest.mark.parametrize("place", [(8, 50), (30, 10), (20, 30)])
def test_the_map_is_warm_where_the_answer_rests(place: tuple[int, int]) -> None:
    found = occlusion(sees_light, bright_spot(*place), 1)
    assert found.probability == pytest.approx(250 / 255)
    assert found.drops.shape == (PLACES, PLACES)
    assert found.spread.shape == SIZE
    hottest = np.unravel_index(found.spread.argmax(), SIZE)
    assert np.abs(np.subtract(hottest, place)).max() <= 6
    far = np.hypot(*(np.indices(SIZE) - np.reshape(place, (2, 1, 1)))) > 30
    assert np.abs(found.spread[far]).max() < 0.05
    # What speaks for the one class speaks against the other.
    assert occlusion(sees_light, bright_spot(*place), 0).drops == pytest.approx(-found.drops, abs=1e-6)


def test_the_cover_has_the_picture_s_mean_colour_and_a_sixteenth_of_its_area() -> None:
    seen: list[NDArray[np.uint8]] = []

    def answer(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.extend(pictures)
        return np.full((len(pictures), 2), 0.5, np.float32)

    picture = bright_spot(20, 30)
    said: list[tuple[int, int]] = []
    found = occlusion(answer, picture, 0, lambda what, done, total: said.append((done, total)))
    whole, *covered = seen
    assert np.array_equal(whole, picture)
    assert len(covered) == PLACES**2
    colour = np.rint(picture.mean(axis=(0, 1)))
    sizes = [np.count_nonzero((one == colour).all(axis=2)) for one in covered]
    assert max(sizes) == 10 * 15
    assert min(sizes) >= 5 * 7  # at the corners they reach outside
    assert not found.drops.any()
    assert said[-1][0] == said[-1][1]


def test_what_is_no_number_counts_as_zero() -> None:
    def answer(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        given = np.full((len(pictures), 2), np.nan, np.float32)
        given[0] = 0.5
        return given

    found = occlusion(answer, bright_spot(20, 30), 0)
    assert np.isfinite(found.spread).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (32, 32), (256, 100)])
def test_pictures_of_any_size_have_a_map(size: tuple[int, int]) -> None:
    found = occlusion(sees_light, np.full((*size, 3), 200, np.uint8), 1)
    assert found.spread.shape == size
    assert np.isfinite(found.spread).all()


def test_a_map_kept_as_its_drops_is_the_same_at_another_size() -> None:
    found = occlusion(sees_light, bright_spot(8, 50), 1)
    twice = spread_over(found.drops, (80, 120))
    assert twice[::2, ::2] == pytest.approx(found.spread, abs=0.12)


def test_rank_correlation_is_of_the_order_of_places_alone() -> None:
    drops = np.random.default_rng(1).random((PLACES, PLACES))

    def of(values: NDArray[np.float64]) -> Occlusion:
        return Occlusion(0.5, values, spread_over(values, (8, 8)))

    assert rank_correlation(of(drops), of(drops**3)) == pytest.approx(1)
    assert rank_correlation(of(drops), of(-drops)) == pytest.approx(-1)
    assert abs(rank_correlation(of(drops), of(drops[::-1].T))) < 0.3
    assert rank_correlation(of(drops), of(np.zeros((PLACES, PLACES)))) == 0
