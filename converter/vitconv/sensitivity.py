"""Which operations an int8-hybrid file keeps in float: decided by measurement, on calibration images.

Only operations without weights are candidates (softmax, products of activations, normalisation, swish): what they
cost in float is time, not size. They are taken unit by unit: an attention or normalisation layer, or all layers of
a block. Starting from a file in which all of them are float, each unit is quantized alone; it stays float where
that adds error, or saves no time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from vitconv import conversion
from vitconv.datasets import Progress
from vitconv.errors import UnknownNameError
from vitconv.layer_names import Operation, operations
from vitconv.quiet import native_output
from vitconv.ranges import TensorRange, with_ranges

IMAGES = 32  # of the calibration images; with eight, the choice hung on which

# A unit stays float where quantizing it adds more than so much of the base file's own error, or saves less than so
# much of its time. Two measurements of one file's time, taken in turn, differ by up to a hundredth.
_MORE_ERROR = 0.05
_LESS_TIME = 0.02
_TIMED_RUNS = 8
_HALF_A_STEP = 1 / 512  # of a probability in eight bits, which cannot tell less from nothing

_MOVES_ONLY = ("RESHAPE", "TRANSPOSE", "SPLIT", "CONCATENATION")
_OWN_UNIT = ("attention", "attn", "norm", "norm1", "norm2")


@dataclass(frozen=True)
class UnitCost:
    """What quantizing one unit costs. error_added: mean squared error of the logarithm of the two best classes'
    ratio, in nats², beyond the base file's; time_added_ms: of one run on one thread, beyond it."""

    unit: str
    operations: int
    error_added: float
    time_added_ms: float
    kept_float: bool


@dataclass(frozen=True)
class Kept:
    """What stays float. `tensors` are the operations' outputs by name; `layers` their layers; `units` is empty
    where nothing was measured."""

    tensors: tuple[str, ...]
    layers: tuple[str, ...]
    units: tuple[UnitCost, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As calibration files keep it; `from_json` reads it back."""
        return {
            "tensors": list(self.tensors),
            "layers": list(self.layers),
            "units": [asdict(unit) for unit in self.units],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Kept:
        """Raises KeyError or TypeError for anything but what `to_json` gives."""
        return cls(
            tuple(map(str, value["tensors"])),
            tuple(map(str, value["layers"])),
            tuple(UnitCost(**unit) for unit in value["units"]),
        )


def matching(graph: bytes, patterns: Sequence[str]) -> Kept:
    """Keeps whole layers, weights and all, whose names match one of the patterns (`*`, `?`, `[…]`).

    Raises UnknownNameError for a pattern that no layer matches.
    """
    found = _inner_operations(graph)
    known = {operation.layer for operation in found}
    for pattern in patterns:
        if not any(fnmatchcase(layer, pattern) for layer in known):
            raise UnknownNameError("layer", pattern, known)
    return _kept([
        operation
        for operation in found
        if any(fnmatchcase(operation.layer, pattern) for pattern in patterns)
    ])  # fmt: skip


def search(
    graph: bytes, ranges: tuple[TensorRange, ...], images: np.ndarray, progress: Progress | None = None
) -> Kept:
    """Measures every unit of the float graph on uint8 images [N, H, W, 3] and keeps float what costs by int8."""
    found = units(graph)
    candidates = {operation.tensor for unit in found.values() for operation in unit}
    expected = _answers(graph, images)
    ranged = with_ranges(graph, ranges)
    base = conversion.quantize_inside(ranged, candidates)
    error = _error(_answers(base, images), expected)
    costs = []
    for done, (name, unit) in enumerate(found.items()):
        if progress:
            progress("measuring what must stay float", done, len(found))
        data = conversion.quantize_inside(ranged, candidates - {operation.tensor for operation in unit})
        added = _error(_answers(data, images), expected) - error
        time_ms, its_time_ms = _times_ms((base, data), images[0])
        added_ms = its_time_ms - time_ms
        stays = added > _MORE_ERROR * error or added_ms > -_LESS_TIME * time_ms
        costs.append(UnitCost(name, len(unit), added, added_ms, stays))
    if progress:
        progress("measuring what must stay float", len(found), len(found))
    kept = _kept([operation for unit in costs if unit.kept_float for operation in found[unit.unit]])
    costs.sort(key=lambda unit: -unit.error_added)
    return Kept(kept.tensors, kept.layers, tuple(costs))


def _kept(kept: Sequence[Operation]) -> Kept:
    layers = dict.fromkeys(operation.layer for operation in kept)
    return Kept(tuple(operation.tensor for operation in kept), tuple(layers))


def units(graph: bytes) -> dict[str, list[Operation]]:
    """Unit → its operations without weights: the candidates for float. Those that only move values are in none."""
    found: dict[str, list[Operation]] = {}
    for operation in _inner_operations(graph):
        if not operation.has_weights and operation.operator not in _MOVES_ONLY:
            found.setdefault(_unit_of(operation.layer), []).append(operation)
    return found


def _inner_operations(graph: bytes) -> list[Operation]:
    """All but those that read the pixels or give the probabilities, which are integers whatever else is float."""
    found = list(operations(graph))
    computed = {operation.output for operation in found}
    activations = {tensor for operation in found for tensor in operation.activations}
    return [op for op in found[:-1] if not (activations - computed) & set(op.activations)]


def _unit_of(layer: str) -> str:
    block, _, own = layer.rpartition(".")
    return layer if own in _OWN_UNIT or not block else block


def _error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Of probabilities [N, classes]: the mean squared error of log(p₁ / p₂), where p₁ and p₂ are those of the two
    classes that the float graph finds likeliest. Its sign is the answer; probabilities that are all but zero, of
    which there are many among a hundred classes, have no part in it."""
    rows = np.arange(len(expected))[:, np.newaxis]
    best = np.argsort(-expected, axis=1)[:, :2]
    logs = [np.log(np.maximum(one[rows, best], _HALF_A_STEP)) for one in (actual, expected)]
    margins = [one[:, 0] - one[:, 1] for one in logs]
    return float(np.mean((margins[0] - margins[1]) ** 2))


def _interpreter(data: bytes, threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    with native_output():
        interpreter = Interpreter(model_content=data, num_threads=threads)
        interpreter.allocate_tensors()
    return interpreter


def _answers(data: bytes, images: np.ndarray) -> np.ndarray:
    """The file's probabilities, float [N, classes]."""
    interpreter = _interpreter(data, threads=2)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for image in images:
        interpreter.set_tensor(source["index"], image[np.newaxis].astype(np.float32))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target["index"])[0].astype(np.float64))
    return np.array(rows)


def _times_ms(files: Sequence[bytes], image: np.ndarray) -> list[float]:
    """Each file's least processor time of a run on one thread. The files take turns, so that what disturbs the
    machine (other processes cost caches, if not time) disturbs all alike."""
    interpreters = [_interpreter(data, threads=1) for data in files]
    times: list[list[float]] = [[] for _ in files]
    for interpreter in interpreters:
        (source,) = interpreter.get_input_details()
        interpreter.set_tensor(source["index"], image[np.newaxis].astype(np.float32))
        interpreter.invoke()
    for _ in range(_TIMED_RUNS):
        for interpreter, its_times in zip(interpreters, times, strict=True):
            start = time.thread_time()
            interpreter.invoke()
            its_times.append(time.thread_time() - start)
    return [min(its_times) * 1000 for its_times in times]
