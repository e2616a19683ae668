"""Limits judged by intervals: against files whose true quality is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from vitconv.foundation.judgement import (
    agreement_interval,
    fewest_agreeing,
    judge_agreement,
    judge_lost,
    lost_interval,
)

# At the limit itself 2.5 % of all samples may say "broken"; so many drawn samples show up to this much.
ERRORS = 0.028
SAMPLES = 4000


def shown_of_agreement(images: int, true: float, least: float) -> dict[str, float]:
    """How often (0 to 1) a file that agrees on a share `true` of all images is judged which way; exact."""
    found = dict.fromkeys(("kept", "broken", "unsure"), 0.0)
    for agreeing in range(images + 1):
        if (chance := float(binom.pmf(agreeing, images, true))) > 1e-9:
            found[judge_agreement(agreeing, images, least).shown] += chance
    return found


def shown_of_loss(images: int, lost: float, gained: float, most: float) -> dict[str, float]:
    """The same of a file that loses and gains these shares of all answers; drawn with a fixed seed."""
    drawn = np.random.default_rng(7).multinomial(images, (lost, gained, 1 - lost - gained), SAMPLES)
    found = dict.fromkeys(("kept", "broken", "unsure"), 0.0)
    rows, counts = np.unique(drawn[:, :2], axis=0, return_counts=True)
    for (one, other), count in zip(rows.tolist(), counts.tolist(), strict=True):
        found[judge_lost(one, other, images, most).shown] += count / SAMPLES
    return found


@pytest.mark.parametrize("images", [12, 50, 329, 1000])
@pytest.mark.parametrize("limit", [0.96, 0.998])
def test_a_file_exactly_at_its_limit_of_agreement_is_hardly_ever_judged(images: int, limit: float) -> None:
    found = shown_of_agreement(images, limit, limit)
    assert found["broken"] <= 0.025
    assert found["kept"] <= 0.025


def test_wilson_s_interval_alone_would_fail_too_many() -> None:
    # The reason for the wider of two intervals: 10 of 12 agree.
    assert binomtest(10, 12).proportion_ci(method="wilson").high < 0.96
    assert judge_agreement(10, 12, 0.96).shown == "unsure"
    assert binom.cdf(10, 12, 0.96) > 0.08


@pytest.mark.parametrize("images", [12, 100, 329, 1000, 5000])
@pytest.mark.parametrize("gained", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("limit", [0.001, 0.008])
def test_a_file_exactly_at_its_limit_of_loss_is_hardly_ever_judged(
    images: int, gained: float, limit: float
) -> None:
    found = shown_of_loss(images, gained + limit, gained, limit)
    assert found["broken"] <= ERRORS
    assert found["kept"] <= ERRORS


def test_a_good_file_passes_and_a_bad_one_fails_once_there_are_enough_images() -> None:
    assert shown_of_agreement(1000, 0.985, 0.96)["kept"] > 0.99
    assert shown_of_agreement(1000, 0.92, 0.96)["broken"] > 0.99
    assert shown_of_loss(5000, 0.003, 0.003, 0.008)["kept"] > 0.99
    assert shown_of_loss(5000, 0.025, 0.005, 0.008)["broken"] > 0.99


def test_of_few_images_only_a_gross_fault_is_shown() -> None:
    assert judge_agreement(11, 12, 0.96).shown == "unsure"
    assert judge_agreement(12, 12, 0.96).shown == "unsure"
    assert judge_agreement(2, 12, 0.96).shown == "broken"
    assert judge_lost(1, 0, 12, 0.008).shown == "unsure"
    assert judge_lost(10, 0, 12, 0.008).shown == "broken"
    assert judge_lost(1, 0, 329, 0.001).shown == "unsure"  # float16 on 329 images may lose one


def test_gains_pay_for_losses() -> None:
    assert judge_lost(30, 0, 1000, 0.008).shown == "broken"
    assert judge_lost(30, 28, 1000, 0.008).shown == "unsure"
    assert judge_lost(0, 30, 1000, 0.0).shown == "kept"


def test_with_nothing_rounded_every_image_counts() -> None:
    assert judge_agreement(12, 12, 1.0).shown == "kept"
    assert judge_agreement(99_999, 100_000, 1.0).shown == "broken"


@pytest.mark.parametrize(("agreeing", "images", "least"), [(12, 12, 0.96), (97, 100, 0.96), (998, 1000, 0.97)])
def test_as_many_images_as_are_said_to_be_enough_are(agreeing: int, images: int, least: float) -> None:
    judgement = judge_agreement(agreeing, images, least)
    if judgement.shown != "unsure":
        assert judgement.enough is None
        return
    assert judgement.enough
    more = judgement.enough / images
    assert judge_agreement(round(agreeing * more), judgement.enough, least).shown != "unsure"
    fewer = 0.8 * more
    assert judge_agreement(round(agreeing * fewer), round(images * fewer), least).shown == "unsure"


def test_the_number_of_images_that_would_do_is_a_round_one() -> None:
    assert judge_lost(0, 0, 329, 0.008).enough == 710
    assert judge_agreement(12, 12, 0.998).enough == 2000


def test_a_figure_at_its_limit_has_no_number_that_would_do() -> None:
    assert judge_agreement(96, 100, 0.96).enough is None
    assert judge_lost(0, 0, 100, 0.0).enough is None


@pytest.mark.parametrize(
    ("lost", "gained", "images"), [(0, 0, 12), (3, 1, 329), (40, 0, 50), (12, 0, 12), (0, 5, 5)]
)
def test_the_interval_of_a_loss_holds_just_the_limits_that_are_not_decided(
    lost: int, gained: int, images: int
) -> None:
    low, high = lost_interval(lost, gained, images)
    assert -1 <= low <= (lost - gained) / images <= high <= 1
    step = 1e-6
    if low > -1:
        assert judge_lost(lost, gained, images, low + step).shown == "unsure"
        assert judge_lost(lost, gained, images, low - step).shown == "broken"
    if high < 1:
        assert judge_lost(lost, gained, images, high - step).shown == "unsure"
        assert judge_lost(lost, gained, images, high + step).shown == "kept"


def test_an_interval_of_agreement_holds_the_measured_share() -> None:
    for agreeing in (0, 1, 6, 11, 12):
        low, high = agreement_interval(agreeing, 12)
        assert 0 <= low <= agreeing / 12 <= high <= 1


def test_how_many_of_a_few_golden_images_must_agree() -> None:
    assert fewest_agreeing(8, 1.0) == 8
    assert fewest_agreeing(8, 0.96) == 6
    assert fewest_agreeing(0, 0.96) == 0
