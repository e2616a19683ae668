"""Hybrid files between int8 and float."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from handmade import Handmade
from vitconv.quantization.hybrid.gradation import gradation
from vitconv.quantization.hybrid.kept import Kept, UnitCost, keeping
from vitconv.tflite.graph import Graph

UNITS = 6


def chain() -> Graph:
    """An image through eight layers without weights; the first and the last belong to no unit."""
    made = Handmade()
    tensor = made.tensor(1, 4, 4, 3, name="image")
    for number in range(UNITS + 2):
        other = made.tensor(1, 4, 4, 3, name=f"block{number}.norm|LOGISTIC")
        made.operator("LOGISTIC", [tensor], [other])
        tensor = other
    return made.graph([tensor])


def unit(number: int, error: float | None, instructions: float) -> UnitCost:
    """`instructions`: what float costs."""
    return UnitCost(f"block{number}.norm", False, 1, error, -instructions, False)


def steps(*units: UnitCost) -> list[list[str]]:
    """The layers that stay float in each file."""
    return [list(step.layers) for step in gradation(chain(), Kept((), (), units))]


def test_each_file_keeps_all_of_the_one_before_it_and_first_what_removes_most_error_for_its_cost() -> None:
    units = [unit(1, 0.1, 10.0), unit(2, 0.5, 10.0), unit(3, 0.2, 1.0), unit(4, 0.2, 100.0)]
    found = steps(*units)
    assert found[0] == ["block2.norm", "block3.norm"]  # 0.2 of 1.0 is no quarter
    assert found[-1] == [f"block{number}.norm" for number in (1, 2, 3, 4)]
    for one, other in pairwise(found):
        assert set(one) < set(other)


def test_what_costs_nothing_is_always_float_and_what_integers_do_better_never() -> None:
    found = steps(unit(1, None, 0.0), unit(2, -0.1, 10.0), unit(3, 0.3, 1.0), unit(4, 0.3, 2.0))
    assert all("block1.norm" in layers for layers in found)
    assert not any("block2.norm" in layers for layers in found)
    assert found[0] == ["block1.norm", "block3.norm"]


def test_a_file_says_which_units_stay_float_in_it() -> None:
    costs = (unit(1, 0.4, 1.0), unit(2, 0.4, 2.0), unit(3, 0.2, 3.0))
    first = gradation(chain(), Kept((), (), costs))[0]
    assert [one.kept_float for one in first.units] == [True, False, False]


def test_the_file_that_calibration_chose_is_not_made_twice() -> None:
    costs = (unit(1, 0.4, 1.0), unit(2, 0.4, 2.0))
    chosen = keeping(chain(), ["block1.norm|LOGISTIC"], costs)
    (found,) = gradation(chain(), chosen)
    assert found.layers == ("block1.norm", "block2.norm")


def test_where_nothing_was_measured_there_is_nothing_between() -> None:
    assert steps() == []
    assert steps(unit(1, -0.1, 1.0)) == []


def test_whole_units_stay_float_only_as_far_as_the_file_remains_one_of_integers() -> None:
    """Each of three equal kernels in float makes an int8 file twice as large. Beside a large kernel two small ones
    fit."""
    assert layers_with_kernels(100, 100, 100) == []
    assert layers_with_kernels(4, 4, 1000) == [["block1.mlp"], ["block1.mlp", "block2.mlp"]]


def layers_with_kernels(*channels: int) -> list[list[str]]:
    """What stays float of a chain of 1×1 convolutions that give so many channels of 3; the last one gives the
    answers, and one before the first reads the image."""
    made = Handmade()
    image = made.tensor(1, 1, 1, 3, name="image")
    tensor = made.tensor(1, 1, 1, 3, name="stem|LOGISTIC")
    made.operator("LOGISTIC", [image], [tensor])
    for number, count in enumerate(channels, 1):
        kernel, bias = made.constant(np.zeros((count, 1, 1, 3))), made.constant(np.zeros(count))
        made.tensors[made.convolution(tensor, kernel, bias, (1, 1, 1, count))].name = f"block{number}.mlp|CONV_2D"
    last = made.tensor(1, 1, 1, 3, name="head|LOGISTIC")
    made.operator("LOGISTIC", [tensor], [last])
    whole = [replace(unit(number, 0.5, 1.0 + number), unit=f"block{number}", weights=True) for number in (1, 2)]
    return [list(step.layers) for step in gradation(made.graph([last]), Kept((), (), tuple(whole)))]
