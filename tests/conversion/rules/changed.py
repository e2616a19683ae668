"""A graph before and after a rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from handmade import Handmade, operators, run
from vitconv.conversion.compaction import compact
from vitconv.conversion.sketch import Sketch
from vitconv.tflite.graph import Graph

RANDOM = np.random.default_rng(0)


def values(*shape: int) -> np.ndarray:
    """float32, as activations are."""
    return RANDOM.normal(0, 1, shape).astype(np.float32)


def changed(made: Handmade, output: int, *rules: Callable[[Sketch], int]) -> tuple[Graph, list[int]]:
    """The graph after the rules, and in how many places each was used; its answers have not changed by more than
    1e-5, or a few of float32's last digits where they are large, and it has been through a file."""
    graph = made.graph([output])
    sketch = Sketch(graph)
    places = [rule(sketch) for rule in rules]
    result = compact(Graph.parse(sketch.graph.data, "changed"))
    shown = values(*made.tensors[0].shape)
    before, after = run(graph, shown)[0], run(result, shown)[0]
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, rtol=2e-6, atol=1e-5)
    return result, places


def kinds(graph: Graph) -> set[str]:
    return set(operators(graph))
