"""A limit that a user names: what it is, how files are judged by it, and what a search tells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vitconv.conversion import schemes
from vitconv.exporting.cheapest.limits import AccuracyLimit, Search, Shown, Tried
from vitconv.foundation.documents import convert
from vitconv.foundation.errors import InputError, UnknownNameError

LIMIT = AccuracyLimit(1.0)


@pytest.mark.parametrize(
    ("drop", "agreement", "named"),
    [(-0.1, 90.0, "--max-drop"), (100.5, 90.0, "--max-drop"), (1.0, -1.0, "--min-agreement"), (1.0, 101.0, "101")],
)
def test_what_no_file_can_lose_or_agree_on_is_refused(drop: float, agreement: float, named: str) -> None:
    with pytest.raises(InputError, match=named):
        AccuracyLimit(drop, agreement)


def test_there_are_two_kinds_of_cheapest() -> None:
    with pytest.raises(UnknownNameError, match="lightest"):
        AccuracyLimit(1.0, 90.0, "lightest")  # type: ignore[arg-type]


def test_a_file_keeps_a_limit_where_both_intervals_do() -> None:
    assert LIMIT.judge(2000, 2, 2, 1990, labelled=True).outcome == "kept"
    assert LIMIT.judge(2000, 60, 2, 1930, labelled=True).outcome == "broken"
    assert LIMIT.judge(2000, 20, 2, 1970, labelled=True).outcome == "unsure"
    assert LIMIT.judge(2000, 2, 2, 1700, labelled=True).outcome == "broken"  # 85 % are less than 90
    assert replace(LIMIT, min_agreement=99.9).judge(2000, 2, 2, 1990, labelled=True).outcome == "broken"
    shown = LIMIT.judge(2000, 6, 2, 1990, labelled=True)
    assert shown.top1_drop == pytest.approx(0.2)
    assert shown.top1_drop_interval is not None
    assert shown.top1_drop_interval[0] < 0.2 < shown.top1_drop_interval[1]


def test_without_classes_agreement_stands_in_for_the_answers_lost() -> None:
    """Who agrees on 99 % of all images cannot lose more than a point."""
    shown = LIMIT.judge(2000, 0, 0, 1999, labelled=False)
    assert (shown.outcome, shown.top1_drop) == ("kept", None)
    assert LIMIT.judge(2000, 0, 0, 1950, labelled=False).outcome == "broken"
    assert LIMIT.judge(2000, 0, 0, 1950, labelled=True).outcome == "kept"


def test_verify_judges_by_the_same_limit_but_float32_by_its_own() -> None:
    float32, int8 = schemes.find("float32"), schemes.find("int8")
    assert LIMIT.of_scheme(float32, labelled=True) == float32.limits
    assert LIMIT.of_scheme(int8, labelled=True).max_drop == 1.0
    assert LIMIT.of_scheme(int8, labelled=True).min_agreement == 0.9
    assert LIMIT.of_scheme(int8, labelled=False).min_agreement == 0.99


def tried(name: str, scheme: str = "int8", shown: Shown | None = None) -> Tried:
    outcome = "kept" if shown is None else shown.outcome
    return Tried(name, scheme, 0, 400_000, 2.5e7, 0.02, 250, outcome, shown)


def test_a_search_says_what_it_took_and_why_and_can_be_read_again() -> None:
    shown = Shown("kept", 0.965, (0.96, 0.97), 0.02, (-0.3, 0.35))
    found = Search(LIMIT, 5000, ("validation (train[90%:])",), True, (tried("int8", shown=shown),), "int8")
    assert "int8 is the file with the fewest instructions" in found.sentence
    assert "0.02 points" in found.sentence
    assert "96.50%" in found.sentence
    assert convert(found.to_json(), Search) == found
    none = replace(found, tried=(tried("float32", "float32"),), chosen="float32")
    assert "so float32 is given" in none.sentence
    with pytest.raises(ValueError, match="int4"):
        replace(found, chosen="int4")
