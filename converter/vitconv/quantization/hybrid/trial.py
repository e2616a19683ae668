"""Files of one float graph that are tried: what each costs, and how far its answers are from the graph's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from vitconv.quantization import integers, output_steps
from vitconv.quantization.answer_errors import answer_errors, floor_of, least_sure_first
from vitconv.quantization.cost_model import estimated_instructions
from vitconv.quantization.hybrid.mixing import Mixture
from vitconv.quantization.hybrid.units import with_moves
from vitconv.quantization.ranges import TensorRange, with_ranges
from vitconv.tflite.graph import Graph

# So many pixels of the calibration images: 48 of 256 × 256. With fewer images the choice hangs on which they are;
# with more of large ones an export takes too long.
_PIXELS = 48 * 256 * 256
_FEWEST_IMAGES, _MOST_IMAGES = 12, 250
# For each per cent that float adds to a file's instructions, it has to remove so many of the file's error; a per
# cent of size counts as a quarter of one of instructions.
ERROR_FOR_COST = 3.0
_SIZE_AS_COST = 0.25


class Trial:
    """Of the images, errors are taken on those few that the float graph is least sure of: there they change
    answers, and small probabilities, which eight bits round much, have no part in them. Where eight bits cannot
    hold the network's answers at all (`output_steps.Rounded.undecided`), the output is float in every file: all
    would give the same zeros.

    graph: the float graph. images: uint8 [N, H, W, 3]; expected, float64 [N, classes]: its answers to them.
    """

    def __init__(
        self, graph: Graph, ranges: tuple[TensorRange, ...], images: np.ndarray, expected: np.ndarray
    ) -> None:
        self.graph = graph
        self._ranged = with_ranges(graph, ranges).data
        self._mixture = Mixture.of(graph, integers.quantize_inside(self._ranged))
        coarse = output_steps.rounded(expected).undecided
        self._always = frozenset([output_steps.output_of(graph)]) if coarse else frozenset()
        self._floor = floor_of(expected)
        unsure = least_sure_first(expected, self._floor)[: _how_many(*images.shape[1:3])]
        self.images, self._expected = images[unsure], expected[unsure]

    def file(self, kept: Iterable[str]) -> TrialFile:
        """In which the operations that compute these tensors are float; input and output are float."""
        moved = with_moves(self.graph, {*kept, *self._always})
        if self._mixture:
            return TrialFile(self._mixture.mixed(moved))
        return TrialFile(integers.quantize_inside(self._ranged, moved))

    def errors(self, loaded: Any, which: slice = slice(None)) -> np.ndarray:
        """`answer_errors` of a loaded file on some of the images, one each."""
        answers = output_steps.answers_of(loaded, self.images[which])
        return answer_errors(answers, self._expected[which], self._floor)


class TrialFile:
    """size: in bytes. instructions: of one run on a phone, as `cost_model` estimates them."""

    def __init__(self, graph: Graph) -> None:
        self.data = graph.data
        self.size, self.instructions = len(self.data), estimated_instructions(graph)


def price(instructions: float, size: float) -> float:
    """Of what a file has more than another, each as a part of the other's: as a part of its instructions."""
    return instructions + _SIZE_AS_COST * size


def _how_many(height: int, width: int) -> int:
    """Images of this size in pixels that are looked at."""
    return min(max(_PIXELS // (height * width), _FEWEST_IMAGES), _MOST_IMAGES)
