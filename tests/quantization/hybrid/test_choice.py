"""What an int8-hybrid file keeps in float: the search's choice, or one of a few with fewer or more units."""

from __future__ import annotations

import numpy as np
import pytest

from converted import float_graph, images, ranges
from remembered import anew
from vitconv.quantization import output_steps
from vitconv.quantization.hybrid import choice, sensitivity
from vitconv.quantization.hybrid.kept import Kept, UnitCost, keeping
from vitconv.quantization.hybrid.units import units

NAME = "eanet"


def chosen(monkeypatch: pytest.MonkeyPatch, files: dict[int, tuple[float, float, float]]) -> int:
    """How many units stay float, where files with so many have this error, these instructions and bytes. The first
    is what the search found."""
    graph = float_graph(NAME, "int8-hybrid")
    found = units(graph, weights=False)
    names = [name for name in found if name.endswith("attention")][: max(files)]

    def kept(count: int) -> Kept:
        costs = [UnitCost(name, False, 1, 1.0, -1.0, number < count) for number, name in enumerate(names)]
        return keeping(graph, {op.tensor for name in names[:count] for op in found[name]}, costs)

    class Trial:
        def __init__(self, *_: object) -> None:
            pass

        def file(self, tensors: tuple[str, ...]) -> object:
            count = next(count for count in files if kept(count).tensors == tensors)
            _, instructions, size = files[count]
            return type("File", (), {"data": count, "instructions": instructions, "size": size})

        def errors(self, loaded: int) -> np.ndarray:
            return np.array([files[loaded][0]])

    first, *others = files
    monkeypatch.setattr(choice, "Trial", Trial)
    monkeypatch.setattr(output_steps, "loaded", lambda data: data)
    monkeypatch.setattr(sensitivity, "search", lambda *_: kept(first))
    monkeypatch.setattr(choice, "gradation", lambda *_: tuple(map(kept, others)))
    with anew():
        done = choice.choose(graph, (), np.zeros((0, 1, 1, 3), np.uint8), np.zeros((0, 10)))
    return sum(unit.kept_float for unit in done.units)


def test_a_file_with_fewer_units_in_float_is_taken_where_its_error_is_worth_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A hundredth of the instructions is worth three hundredths of the error.
    assert chosen(monkeypatch, {2: (1.00, 100.0, 10.0), 1: (1.02, 99.0, 10.0)}) == 1
    assert chosen(monkeypatch, {2: (1.00, 100.0, 10.0), 1: (1.04, 99.0, 10.0)}) == 2
    assert chosen(monkeypatch, {2: (1.00, 100.0, 10.0), 3: (0.96, 101.0, 10.0), 1: (1.04, 99.0, 10.0)}) == 3
    # And of the size it is worth a quarter of that.
    assert chosen(monkeypatch, {2: (1.00, 100.0, 1000.0), 1: (1.007, 100.0, 990.0)}) == 1
    assert chosen(monkeypatch, {2: (1.00, 100.0, 1000.0), 1: (1.008, 100.0, 990.0)}) == 2


def test_no_tried_file_is_better_than_the_chosen_one() -> None:
    graph, shown = float_graph(NAME, "int8-hybrid"), images(NAME, 6, seed=3)
    expected = output_steps.of_file(graph.data, shown)
    said = []
    measured = ranges(NAME, "int8-hybrid")
    with anew():
        kept = choice.choose(graph, measured, shown, expected, lambda what, done, _: said.append((what, done)))
    trial = choice.Trial(graph, measured, shown, expected)
    worth = choice._error_and_cost(trial, kept)
    steps = choice.gradation(graph, kept)
    assert steps
    assert all(worth <= choice._error_and_cost(trial, step) for step in steps)
    compared = [done for what, done in said if what == "comparing hybrid files"]
    assert compared == list(range(len(compared)))
    assert len(compared) > 2
