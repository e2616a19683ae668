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
from dataclasses import replace
from typing import Any

import numpy as np

from vitconv.foundation.progress import Progress
from vitconv.quantization import output_steps
from vitconv.quantization.hybrid.kept import Kept, UnitCost, keeping
from vitconv.quantization.hybrid.trial import ERROR_FOR_COST, Trial, price
from vitconv.quantization.hybrid.units import units
from vitconv.tflite.layer_names import Operation

# A quarter of the images is looked at first, then another, then the rest, as long as the choice is open: as long
# as the mean is within so many standard errors of what float is worth.
_SHARES = (slice(0, None, 4), slice(2, None, 4), slice(1, None, 2))
_SURE = 3.0
_CHEAP = 0.001  # what adds no more than this part of a file's instructions stays float
_AT_ONCE = 2  # threads, one file each

# Whole units that would add more than this part of a file's size are not tried, and all that are chosen add no
# more than that: it is to remain a file of int8 weights.
_LARGEST, LARGEST_TOGETHER = 0.1, 0.3


def search(trial: Trial, progress: Progress | None = None, by_branches: bool = False) -> Kept:
    """Measures the units of a float graph and keeps float what is worth it."""
    kept = {operation.tensor for unit in units(trial.graph, False, by_branches).values() for operation in unit}
    costs: list[UnitCost] = []
    for weights in (False, True):
        found = units(trial.graph, weights, by_branches)
        for cost in _Pass(trial, kept, weights).costs(found, progress):
            costs.append(cost)
            tensors = {operation.tensor for operation in found[cost.unit]}
            if cost.kept_float:
                kept |= tensors
            elif not weights:
                kept -= tensors
    return keeping(trial.graph, kept, sorted(costs, key=_error_first))


class _Pass:
    """Compares files that differ in one unit from one that it starts from, in which the operations that compute
    the tensors `kept` are float. With `weights` units become float, without them integer."""

    def __init__(self, trial: Trial, kept: Iterable[str], weights: bool) -> None:
        self._trial, self._kept, self._weights = trial, frozenset(kept), weights
        self._start = trial.file(self._kept)
        self._errors = trial.errors(output_steps.loaded(self._start.data))

    def costs(self, found: Mapping[str, Sequence[Operation]], progress: Progress | None) -> list[UnitCost]:
        """What each unit costs in integers, but for those that are too large. The most erroneous first."""
        jobs: list[tuple[Future[UnitCost], float]] = []
        cheap: list[tuple[UnitCost, float]] = []
        what = "measuring whole layers" if self._weights else "measuring operations"
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for done, (name, unit) in enumerate(found.items()):
                if progress:
                    progress(what, done, len(found))
                if len(jobs) > _AT_ONCE:
                    jobs[-1 - _AT_ONCE][0].result()  # no more files are in memory than these
                tensors = {operation.tensor for operation in unit}
                other = self._trial.file(self._kept | tensors if self._weights else self._kept - tensors)
                growth = other.size / self._start.size - 1 if self._weights else 0.0
                if growth > _LARGEST:
                    continue
                added = self._sign * (other.instructions - self._start.instructions)
                cost = UnitCost(name, self._weights, len(unit), None, added, kept_float=True)
                if self._price(cost, growth) <= _CHEAP:
                    cheap.append((cost, growth))
                    continue
                # Loaded here, not in the threads: what LiteRT prints is caught for the whole process.
                loaded = output_steps.loaded(other.data, threads=1)
                jobs.append((pool.submit(self._measured, cost, growth, loaded), growth))
            costs = [*cheap, *((job.result(), growth) for job, growth in jobs)]
        if progress:
            progress(what, len(found), len(found))
        costs.sort(key=lambda pair: _error_first(pair[0]))
        return list(_within(LARGEST_TOGETHER, costs))

    @property
    def _sign(self) -> int:
        """With weights the file that is tried is the one in float: what integers add is what it takes away."""
        return -1 if self._weights else 1

    def _measured(self, cost: UnitCost, growth: float, loaded: Any) -> UnitCost:
        """With the error, and the choice that follows from it. `loaded` is the file that differs in the unit."""
        worth = ERROR_FOR_COST * self._price(cost, growth) * float(self._errors.mean())
        errors = np.array([])
        for which in _SHARES:
            if len(self._trial.images[which]):
                more = self._trial.errors(loaded, which) - self._errors[which]
                errors = np.concatenate([errors, self._sign * more])
            if _is_clear(errors, worth):
                break
        error = float(errors.mean())
        return replace(cost, error_added=error, kept_float=error > worth)

    def _price(self, cost: UnitCost, growth: float) -> float:
        return price(-cost.instructions_added / self._start.instructions, growth)


def _error_first(cost: UnitCost) -> tuple[bool, float]:
    """The largest first, and last what was not measured."""
    return cost.error_added is None, -(cost.error_added or 0.0)


def _is_clear(errors: np.ndarray, worth: float) -> bool:
    """Whether the mean of these is on the side of `worth` on which more images would have it, too."""
    spread = errors.std(ddof=1) / math.sqrt(len(errors)) if len(errors) > 1 else math.inf
    return bool(abs(errors.mean() - worth) > _SURE * spread)


def _within(most: float, costs: Iterable[tuple[UnitCost, float]]) -> Iterator[UnitCost]:
    """The costs, each with what it adds to the size; what would go beyond `most` together does not stay float."""
    total = 0.0
    for cost, growth in costs:
        if cost.kept_float and total + growth > most:
            cost = replace(cost, kept_float=False)
        total += growth if cost.kept_float else 0.0
        yield cost
