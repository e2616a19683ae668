"""Maps over pictures: colours and sizes, and words that fit."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from vitconv.explanation.drawing import Panel, attention_scaled, overlaid, row_of_panels, scaled

GREY = np.full((40, 60, 3), 128, np.uint8)


def test_warm_is_for_and_cold_against_and_nothing_stays_grey() -> None:
    values = np.zeros((4, 6))
    values[0, 0], values[3, 5] = 1, -1
    shown = np.asarray(overlaid(GREY, values)).astype(int)
    assert shown.shape == GREY.shape
    red, _, blue = shown[0, 0]
    assert red > blue + 60
    red, _, blue = shown[-1, -1]
    assert blue > red + 60
    assert np.array_equal(shown[20, 30], [128, 128, 128])


def test_maps_are_scaled_without_a_division_by_zero() -> None:
    assert not scaled(np.zeros((2, 2)), 0.0).any()
    assert not attention_scaled(np.ones((2, 2))).any()
    assert attention_scaled(np.array([[1.0, 3.0]])).tolist() == [[0, 1]]


def test_panels_stand_side_by_side_and_no_caption_is_longer_than_its_panel() -> None:
    long = ("what 日本 $x$ " + "rests on " * 20,)
    one = Image.open(io.BytesIO(row_of_panels(GREY, [Panel(("a",))])))
    three = Image.open(io.BytesIO(row_of_panels(GREY, [Panel(long), Panel(("b",), np.ones((2, 2))), Panel(long)])))
    assert three.width > 2.9 * one.width - 40
    pixels = np.asarray(three.convert("L"))
    gap = pixels[:, three.width // 3 - 4 : three.width // 3]
    assert (gap == 255).all()
