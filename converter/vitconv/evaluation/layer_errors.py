"""How far each layer of a file is from the same layer of the float graph that the file was made from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.foundation.errors import ModelFileError
from vitconv.foundation.progress import Progress
from vitconv.quantization.cost_model import instructions_by_layer
from vitconv.tflite import kept_tensors
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import Operation, operations

IMAGES = 8
_MOST_DB = 200.0  # for a layer without any error, whose ratio would be infinite
# What a layer may lose. In the shipped models' whole int8 files no layer loses more than 8 dB for good, and none
# is left with less than 18; a kernel turned upside down loses 14, and is left with less than 9.
_GOOD_DB = 30.0  # an error below a thirtieth of the signal is as good as none
_BROKEN_LOSS_DB, _BROKEN_DB = 9.0, 14.0


@dataclass(frozen=True)
class LayerError:
    """A layer's output in the file against the float graph's, over all images.

    snr_db: 10·log10(Σ float² / Σ (float − file)²), within ±200. lost_db: by how much that is below the worst of
    the layer's inputs, which says where an error enters rather than where it has come to; None where no input is
    an activation. rms_steps, max_steps: the error in quantization steps of the output, None where it is float.
    place: the layer's place in the order in which the graph computes, from 0. instructions: of this layer of the
    file for one image on arm64, estimated (see `cost_model`); None in what an earlier version measured.
    """

    layer: str
    operator: str
    snr_db: float
    lost_db: float | None
    rms_steps: float | None
    max_steps: float | None
    place: int = 0
    instructions: float | None = None


@dataclass(frozen=True)
class LayerLoss:
    """What a layer loses and the next one does not make good. before_db: the worst signal-to-noise ratio of its
    inputs; after_db: the better one of its own output's and the next layer's, in the order in which the graph
    computes. A layer whose output is almost zero has a bad ratio and does no harm. The next layer's
    ratio shows that."""

    layer: LayerError
    before_db: float
    after_db: float

    @property
    def lasting_db(self) -> float:
        """The loss, counted below 30 dB only: above that an error does not matter."""
        return min(self.before_db, _GOOD_DB) - min(self.after_db, _GOOD_DB)

    @property
    def broken(self) -> bool:
        """Whether quantization alone does not do this: see above."""
        return self.lasting_db >= _BROKEN_LOSS_DB and self.after_db < _BROKEN_DB


def losses(layers: Sequence[LayerError]) -> tuple[LayerLoss, ...]:
    """Of all layers of a file; first the broken ones, then by what they lose."""
    ordered = sorted(layers, key=lambda layer: layer.place)
    found = [
        LayerLoss(
            layer,
            _MOST_DB if layer.lost_db is None else min(_MOST_DB, layer.snr_db + layer.lost_db),
            max(layer.snr_db, following.snr_db),
        )
        for layer, following in zip(ordered, [*ordered[1:], *ordered[-1:]], strict=True)
    ]
    return tuple(sorted(found, key=lambda loss: (not loss.broken, -loss.lasting_db, loss.layer.place)))


class _Sums:
    """Of one tensor: float², error², the error's largest value, and how many values."""

    def __init__(self) -> None:
        self.signal = self.noise = self.largest = 0.0
        self.count = 0
        self.scale: float | None = None

    def add(self, expected: NDArray[Any], actual: NDArray[Any], scale: float | None) -> None:
        error = actual.ravel().astype(np.float64) - expected.ravel()
        self.signal += float(np.sum(expected.astype(np.float64) ** 2))
        self.noise += float(np.sum(error**2))
        self.largest = max(self.largest, float(np.abs(error).max()))
        self.count += error.size
        self.scale = scale

    @property
    def snr_db(self) -> float:
        if self.noise == 0:
            return _MOST_DB
        return max(-_MOST_DB, min(_MOST_DB, 10 * math.log10(max(self.signal, 1e-30) / self.noise)))


def layer_errors(
    graph: Graph,
    file: Graph,
    images: NDArray[Any],
    what: str = "comparing layers",
    progress: Progress | None = None,
) -> tuple[LayerError, ...]:
    """Each layer of `file` against `graph`, the float graph it was made from; the worst first.

    images: uint8 [N, H, W, 3]. A layer's output is the last tensor that bears its name in both; tensors are
    matched by name. Raises ModelFileError where no tensor of the file has a name of the graph's: it was made from
    another.
    """
    expected_run, actual_run = Run(graph.data), Run(file.data)
    of_graph = list(operations(graph))
    # Of several operations of a kind the names bear numbers: the same ones where there are as many in both.
    many, of_file = _kinds(of_graph), _kinds(operations(file))
    found = [operation for operation in of_graph if operation.tensor in actual_run.places]
    matched = [
        operation
        for operation in found
        if many[operation.layer, operation.operator] == of_file[operation.layer, operation.operator]
        and expected_run.size(operation.tensor) == actual_run.size(operation.tensor)
    ]
    if not found:
        raise ModelFileError(
            "no layer of the file has the name of a layer of the checkpoint's graph. Export it again."
        )
    sums = {operation.output: _Sums() for operation in matched}
    for done, image in enumerate(images):
        if progress:
            progress(what, done, len(images))
        expected_run.feed(image)
        actual_run.feed(image)
        for operation in matched:
            expected, _ = expected_run.value(operation.tensor)
            sums[operation.output].add(expected, *actual_run.value(operation.tensor))
    if progress:
        progress(what, len(images), len(images))
    errors = _of_layers(of_graph, sums, instructions_by_layer(file))
    return tuple(sorted(errors, key=lambda error: error.snr_db))


def _kinds(found: Iterable[Operation]) -> Counter[tuple[str, str]]:
    """How many operations of each operator a layer has."""
    return Counter((operation.layer, operation.operator) for operation in found)


def _of_layers(
    of_graph: list[Operation], sums: dict[int, _Sums], instructions: Mapping[str, float]
) -> Iterator[LayerError]:
    layers: dict[str, list[Operation]] = {}
    for operation in of_graph:
        layers.setdefault(operation.layer, []).append(operation)
    for place, (layer, its_operations) in enumerate(layers.items()):
        compared = [operation for operation in its_operations if operation.output in sums]
        if not compared:
            continue
        last = compared[-1]
        inside = {operation.output for operation in its_operations}
        before = [
            sums[tensor].snr_db
            for operation in its_operations
            for tensor in operation.activations
            if tensor in sums and tensor not in inside
        ]
        total = sums[last.output]
        rms = math.sqrt(total.noise / total.count)
        yield LayerError(
            layer,
            last.operator,
            total.snr_db,
            min(before) - total.snr_db if before else None,
            rms / total.scale if total.scale else None,
            total.largest / total.scale if total.scale else None,
            place,
            instructions.get(layer),
        )


class Run:
    """A file with all its tensors kept, by name."""

    def __init__(self, data: bytes) -> None:
        self._interpreter = kept_tensors.interpreter_of(data)
        (self._source,) = self._interpreter.get_input_details()
        self.places = {detail["name"]: detail for detail in self._interpreter.get_tensor_details()}

    def feed(self, image: NDArray[Any]) -> None:
        self._interpreter.set_tensor(self._source["index"], image[np.newaxis].astype(self._source["dtype"]))
        self._interpreter.invoke()

    def size(self, name: str) -> int:
        """How many values a tensor has."""
        return int(np.prod(self.places[name]["shape"]))

    def value(self, name: str) -> tuple[NDArray[Any], float | None]:
        """A tensor's real values, and its scale where it is quantized."""
        detail = self.places[name]
        values = self._interpreter.get_tensor(detail["index"])
        scale, zero_point = detail["quantization"]
        if not scale:
            return values, None
        return (values.astype(np.float32) - zero_point) * np.float32(scale), float(scale)
