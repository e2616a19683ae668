"""Which operations an int8-hybrid file keeps in float: decided by measurement, on calibration images.

They are taken unit by unit: an attention or normalisation layer, or all other layers of a block; of other people's
networks a branch beside a residual connection (`branches`). First come the operations without weights (softmax,
products of activations, normalisation, swish): starting from a file in which all of them are float, each unit's
are quantized alone. Then whole units, weights and all: starting from what the first choice left, each small one is
put back to float alone. Float costs instructions, and for weights also size. A unit stays float if that removes
more error than it costs, and without being measured where it costs next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from vitconv.foundation.cores import litert_threads
from vitconv.foundation.errors import UnknownNameError
from vitconv.foundation.progress import Progress
from vitconv.quantization import integers, output_steps
from vitconv.quantization.branches import branches
from vitconv.quantization.cost_model import estimated_instructions
from vitconv.quantization.mixing import Mixture
from vitconv.quantization.ranges import TensorRange, with_ranges
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import Operation, operations

# So many pixels of the calibration images: 48 of 256 × 256. With fewer images the choice hangs on which they are;
# with more of large ones an export takes too long.
_PIXELS = 48 * 256 * 256
_FEWEST_IMAGES, _MOST_IMAGES = 12, 250
# A quarter of them is looked at first, then another, then the rest, as long as the choice is open: as long as the
# mean is within so many standard errors of what float is worth.
_SHARES = (slice(0, None, 4), slice(2, None, 4), slice(1, None, 2))
_SURE = 3.0
_CHEAP = 0.001  # what adds no more than this part of a file's instructions stays float
_AT_ONCE = 2  # threads, one file each

# For each per cent that float adds to a file's instructions, it has to remove so many of the file's error; a per
# cent of size counts as a quarter of one of instructions.
_ERROR_FOR_COST = 3.0
_SIZE_AS_COST = 0.25
# Whole units that would add more than this part of a file's size are not tried, and all that are chosen add no
# more than that: it is to remain a file of int8 weights.
_LARGEST, LARGEST_TOGETHER = 0.1, 0.3
_HALF_A_STEP = output_steps.STEP / 2  # eight bits cannot tell a smaller probability from nothing
_SMALLEST = 1e-7  # that counts in float

_MOVES_ONLY = ("RESHAPE", "TRANSPOSE", "SPLIT", "CONCATENATION")
_OWN_UNIT = ("attention", "attn", "norm", "norm1", "norm2")


@dataclass(frozen=True)
class UnitCost:
    """What quantizing one unit costs: all of its operations where `weights`, else those without weights.

    error_added: mean squared error of the logarithm of the two best classes' ratio, in nats², beyond that of the
    file in which the unit is float; None where float costs so little that nobody measured it. instructions_added:
    of one run on a phone, beyond that file's, as estimated by `cost_model`.
    """

    unit: str
    weights: bool
    operations: int
    error_added: float | None
    instructions_added: float
    kept_float: bool


@dataclass(frozen=True)
class Kept:
    """What stays float. `tensors` are the operations' outputs by name; `layers` their layers; `units` is empty
    where nothing was measured."""

    tensors: tuple[str, ...]
    layers: tuple[str, ...]
    units: tuple[UnitCost, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As calibration files keep it."""
        return {
            "tensors": list(self.tensors),
            "layers": list(self.layers),
            "units": [asdict(unit) for unit in self.units],
        }


def matching(graph: Graph, patterns: Sequence[str]) -> Kept:
    """Keeps whole layers, weights and all, whose names match one of the patterns (`*`, `?`, `[…]`).

    Raises UnknownNameError for a pattern that no layer matches.
    """
    found = _inner_operations(graph)
    known = {operation.layer for operation in found}
    for pattern in patterns:
        if not any(fnmatchcase(layer, pattern) for layer in known):
            raise UnknownNameError("layer", pattern, known)
    chosen = [op for op in found if any(fnmatchcase(op.layer, pattern) for pattern in patterns)]
    return keeping(graph, {operation.tensor for operation in chosen})


def search(
    graph: Graph,
    ranges: tuple[TensorRange, ...],
    images: np.ndarray,
    progress: Progress | None = None,
    by_branches: bool = False,
) -> Kept:
    """Measures the units of the float graph and keeps float what is worth it.

    images: uint8 [N, H, W, 3]. Errors are taken on those few that the float graph is least sure of: there they
    change answers, and small probabilities, which eight bits round much, have no part in them. Where eight bits
    cannot hold the network's answers at all (`output_steps.Rounded.undecided`), the output is float in every file
    that is tried: all would give the same zeros.
    """
    trial = _Trial(graph, with_ranges(graph, ranges).data, images)
    kept = {operation.tensor for unit in units(graph, False, by_branches).values() for operation in unit}
    costs: list[UnitCost] = []
    for weights in (False, True):
        trial.start_from(kept)
        found = units(graph, weights, by_branches)
        for cost in trial.costs(found, weights, progress):
            costs.append(cost)
            tensors = {operation.tensor for operation in found[cost.unit]}
            if cost.kept_float:
                kept |= tensors
            elif not weights:
                kept -= tensors
    return keeping(graph, kept, sorted(costs, key=_error_first))


class _Trial:
    """Compares files that differ in one unit from one that it starts from."""

    def __init__(self, graph: Graph, ranged: bytes, images: np.ndarray) -> None:
        self._graph, self._ranged = graph, ranged
        self._mixture = Mixture.of(graph, integers.quantize_inside(ranged))
        expected = output_steps.of_file(graph.data, images)
        coarse = output_steps.rounded(expected).undecided
        self._always = frozenset([output_steps.output_of(graph)]) if coarse else frozenset()
        self._floor = _SMALLEST if coarse else _HALF_A_STEP
        unsure = np.argsort(_margins(expected, _best_two(expected), self._floor), kind="stable")
        unsure = unsure[: _how_many(*images.shape[1:3])]
        self._images, self._expected = images[unsure], expected[unsure]

    def start_from(self, kept: Iterable[str]) -> None:
        """The file in which the operations that compute these tensors are float, and no others."""
        self._kept = frozenset(kept) | self._always
        base = self._quantized(self._kept)
        self._size, self._instructions = len(base.data), estimated_instructions(base)
        self._errors = self._errors_of(output_steps.loaded(base.data, threads=litert_threads()), slice(None))

    def costs(
        self, found: Mapping[str, Sequence[Operation]], weights: bool, progress: Progress | None
    ) -> list[UnitCost]:
        """What each unit costs in integers, but for those that are too large: with weights they become float here,
        without them integer. The most erroneous first."""
        jobs: list[tuple[Future[UnitCost], float]] = []
        cheap: list[tuple[UnitCost, float]] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for done, (name, unit) in enumerate(found.items()):
                if progress:
                    progress("measuring whole layers" if weights else "measuring operations", done, len(found))
                if len(jobs) > _AT_ONCE:
                    jobs[-1 - _AT_ONCE][0].result()  # no more files are in memory than these
                tensors = {operation.tensor for operation in unit}
                other = self._quantized(self._kept | tensors if weights else self._kept - tensors)
                growth = len(other.data) / self._size - 1 if weights else 0.0
                if growth > _LARGEST:
                    continue
                added = _sign(weights) * (estimated_instructions(other) - self._instructions)
                cost = UnitCost(name, weights, len(unit), None, added, kept_float=True)
                if self._price(cost, growth) <= _CHEAP:
                    cheap.append((cost, growth))
                    continue
                # Loaded here, not in the threads: what LiteRT prints is caught for the whole process.
                loaded = output_steps.loaded(other.data, threads=1)
                jobs.append((pool.submit(self._measured, cost, growth, loaded), growth))
            costs = [*cheap, *((job.result(), growth) for job, growth in jobs)]
        if progress:
            progress("measuring whole layers" if weights else "measuring operations", len(found), len(found))
        costs.sort(key=lambda pair: _error_first(pair[0]))
        return list(_within(LARGEST_TOGETHER, costs))

    def _measured(self, cost: UnitCost, growth: float, loaded: Any) -> UnitCost:
        """With the error, and the choice that follows from it. `loaded` is the file that differs in the unit."""
        worth = _ERROR_FOR_COST * self._price(cost, growth) * float(self._errors.mean())
        errors = np.array([])
        for which in _SHARES:
            if len(self._images[which]):
                more = self._errors_of(loaded, which) - self._errors[which]
                errors = np.concatenate([errors, _sign(cost.weights) * more])
            if _is_clear(errors, worth):
                break
        error = float(errors.mean())
        return replace(cost, error_added=error, kept_float=error > worth)

    def _price(self, cost: UnitCost, growth: float) -> float:
        """Of float: the part of the file's instructions that it adds, and what it adds to the size."""
        return -cost.instructions_added / self._instructions + _SIZE_AS_COST * growth

    def _quantized(self, kept: Iterable[str]) -> Graph:
        moved = _with_moves(self._graph, kept)
        return self._mixture.mixed(moved) if self._mixture else integers.quantize_inside(self._ranged, moved)

    def _errors_of(self, loaded: Any, which: slice) -> np.ndarray:
        return answer_errors(
            output_steps.answers_of(loaded, self._images[which]), self._expected[which], self._floor
        )


def _sign(weights: bool) -> int:
    """With weights the file that is tried is the one in float: what integers add is what it takes away."""
    return -1 if weights else 1


def _error_first(cost: UnitCost) -> tuple[bool, float]:
    """The largest first, and last what was not measured."""
    return cost.error_added is None, -(cost.error_added or 0.0)


def _is_clear(errors: np.ndarray, worth: float) -> bool:
    """Whether the mean of these is on the side of `worth` on which more images would have it, too."""
    spread = errors.std(ddof=1) / math.sqrt(len(errors)) if len(errors) > 1 else math.inf
    return bool(abs(errors.mean() - worth) > _SURE * spread)


def _how_many(height: int, width: int) -> int:
    """Images of this size in pixels that are looked at."""
    return min(max(_PIXELS // (height * width), _FEWEST_IMAGES), _MOST_IMAGES)


def _within(most: float, costs: Iterable[tuple[UnitCost, float]]) -> Iterator[UnitCost]:
    """The costs, each with what it adds to the size; what would go beyond `most` together does not stay float."""
    total = 0.0
    for cost, growth in costs:
        if cost.kept_float and total + growth > most:
            cost = replace(cost, kept_float=False)
        total += growth if cost.kept_float else 0.0
        yield cost


def keeping(graph: Graph, tensors: Iterable[str], costs: Iterable[UnitCost] = ()) -> Kept:
    """The operations that compute these tensors, with what moves their values on."""
    chosen = set(tensors)
    found = _inner_operations(graph)
    layers = dict.fromkeys(operation.layer for operation in found if operation.tensor in chosen)
    closed = _with_moves(graph, chosen)
    return Kept(tuple(op.tensor for op in found if op.tensor in closed), tuple(layers), tuple(costs))


def _with_moves(graph: Graph, tensors: Iterable[str]) -> set[str]:
    """With the operations that only move values which float ones computed: between two of those, integers would
    round them."""
    kept = set(tensors)
    computed: dict[int, str] = {}
    for operation in operations(graph):
        sources = [computed.get(index) for index in operation.activations]
        if operation.operator in _MOVES_ONLY and sources and kept.issuperset(sources):
            kept.add(operation.tensor)
        computed.update(dict.fromkeys(operation.outputs, operation.tensor))
    return kept


def units(graph: Graph, weights: bool, by_branches: bool = False) -> dict[str, list[Operation]]:
    """Unit → its operations: all that compute where `weights`, else those without weights. Operations that only
    move values are in none; with `weights`, units that have none are left out. With `by_branches`, what is in no
    branch is a unit for each layer."""
    found: dict[str, list[Operation]] = {}
    branch = branches(graph) if by_branches else {}
    for operation in _inner_operations(graph):
        if operation.operator not in _MOVES_ONLY and (weights or not operation.has_weights):
            unit = branch.get(operation.index, operation.layer) if by_branches else _unit_of(operation.layer)
            found.setdefault(unit, []).append(operation)
    return {name: unit for name, unit in found.items() if not weights or any(op.has_weights for op in unit)}


def _inner_operations(graph: Graph) -> list[Operation]:
    """All but those that read the pixels or give the probabilities, which are integers whatever else is float."""
    found = list(operations(graph))
    computed = {output for operation in found for output in operation.outputs}
    activations = {tensor for operation in found for tensor in operation.activations}
    return [op for op in found[:-1] if not (activations - computed) & set(op.activations)]


def _unit_of(layer: str) -> str:
    block, _, own = layer.rpartition(".")
    return layer if own in _OWN_UNIT or not block else block


def answer_errors(actual: np.ndarray, expected: np.ndarray, floor: float = _HALF_A_STEP) -> np.ndarray:
    """Of probabilities [N, classes], for each image: the squared error of log(p₁ / p₂), where p₁ and p₂ are those
    of the two classes that the float graph finds likeliest. Its sign is the answer; probabilities that are all but
    zero, of which there are many among a hundred classes, have no part in it."""
    best = _best_two(expected)
    return np.asarray((_margins(actual, best, floor) - _margins(expected, best, floor)) ** 2)


def _best_two(probabilities: np.ndarray) -> np.ndarray:
    """The two likeliest classes: int [N, 2] of float [N, classes]."""
    return np.argsort(-probabilities, axis=1)[:, :2]


def _margins(probabilities: np.ndarray, classes: np.ndarray, floor: float) -> np.ndarray:
    """log(p₁ / p₂) of two classes each: float [N] of float [N, classes] and int [N, 2]. `floor` is the smallest
    probability that counts."""
    logs = np.log(np.maximum(np.take_along_axis(probabilities, classes, axis=1), floor))
    return np.asarray(logs[:, 0] - logs[:, 1])
