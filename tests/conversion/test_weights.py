"""Weights in fewer bits, of graphs that other tools wrote."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from handmade import Handmade
from vitconv.conversion import weights
from vitconv.tflite.inspection import inspect_graph


def dense(*widths: int) -> Handmade:
    made = Handmade()
    x = made.tensor(1, 4, widths[0])
    for before, width in itertools.pairwise(widths):
        x = made.dense(x, np.full((width, before), 0.5), np.ones(width))
    return made


@pytest.mark.parametrize(
    ("widths", "kernels"),
    [((64, 64, 8), 4096), ((8, 8, 8), 128)],
    ids=["small kernels stay float", "but not where there are no others"],
)
def test_small_kernels_stay_float_in_a_network_that_has_others(widths: tuple[int, ...], kernels: int) -> None:
    made = dense(*widths)
    found = inspect_graph(weights.in_eight_bits(made.graph([len(made.tensors) - 1])))
    assert found.weight_bytes["int8"] == kernels
