"""Files that are tried: on which images, and in what they differ."""

from __future__ import annotations

import numpy as np
import pytest

from converted import float_graph, images, ranges
from graphs import inspect_bytes
from vitconv.quantization.hybrid import trial as trials
from vitconv.quantization.hybrid.trial import Trial
from vitconv.quantization.hybrid.units import units
from vitconv.tflite.graph import Graph

NAME = "eanet"


def graph() -> Graph:
    return float_graph(NAME, "int8-hybrid")


def test_errors_are_taken_where_the_float_graph_is_least_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    sure, unsure = [0.9, 0.05, 0.05], [0.1, 0.44, 0.46]
    monkeypatch.setattr(trials, "_MOST_IMAGES", 2)
    expected = np.array([unsure, sure, sure, unsure])
    trial = Trial(graph(), ranges(NAME, "int8-hybrid"), np.arange(4).reshape(4, 1, 1, 1), expected)
    assert trial.images.ravel().tolist() == [0, 3]
    assert trial._expected.tolist() == [unsure, unsure]


@pytest.mark.parametrize(("size", "count"), [(8, 250), (32, 250), (128, 192), (256, 48), (512, 12), (1024, 12)])
def test_of_larger_images_fewer_are_looked_at(size: int, count: int) -> None:
    assert trials._how_many(size, size) == count


def test_where_eight_bits_hold_no_answer_every_file_gives_float() -> None:
    """Else all files would give the same zeros, and nothing would cost anything."""
    start = [operation.tensor for unit in units(graph(), weights=False).values() for operation in unit]
    kept = [tensor for tensor in start if "attention" not in tensor]

    def last_softmax_is_float(expected: list[float]) -> bool:
        trial = Trial(graph(), ranges(NAME, "int8-hybrid"), images(NAME, 2), np.array([expected] * 2))
        return "SOFTMAX" in inspect_bytes(trial.file(kept).data, "trial").float_ops

    assert not last_softmax_is_float([0.9, *[0.1 / 99] * 99])
    assert last_softmax_is_float([0.0011, *[0.9989 / 999] * 999])
