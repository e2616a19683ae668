"""Which operation of a file is the first that a GPU computes wrongly?

Each operation is run by itself, on what this machine's processor computes before it, so that an error shows where
it is made and nowhere behind. A fault that shows only where operations are fused is not found so.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.evaluation.other_runtimes.single_operations import Alone, Values, chunks
from vitconv.foundation.errors import ModelFileError
from vitconv.runtimes.gpu.drivers import Driver
from vitconv.runtimes.gpu.runner import GpuRunner
from vitconv.tflite.gpu_rules import from_constants
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import operations

# Rounding makes one step in an integer result and 1e-6 of a float one; what is wrong is wrong by far.
_MOST_STEPS = 3
_LARGEST_SHARE = 0.05  # of the largest value of a float result: dynamic files round activations on this processor


@dataclass(frozen=True)
class Fault:
    """The first operation that is wrong by itself. error: its largest error, in `unit`: steps of its output's
    quantization, or shares of its largest value."""

    index: int
    operator: str
    layer: str
    error: float
    unit: str


def first_fault(
    graph: Graph, image: NDArray[Any], driver: Driver, left_out: frozenset[str], seconds: float
) -> Fault | None:
    """image: uint8 [H, W, 3]. left_out: operators that the GPU refuses. None where no operation is wrong by
    itself, or none was found in so many seconds."""
    deadline = monotonic() + seconds
    values, weights = Values(graph, image), from_constants(graph)
    wanted = [operation for operation in operations(graph) if operation.operator not in left_out]
    with tempfile.TemporaryDirectory() as folder:
        for chunk in chunks(wanted, weights, values):
            if monotonic() > deadline:
                return None
            alone = Alone(graph, weights, chunk)
            path = Path(folder) / "operations.tflite"
            path.write_bytes(alone.data)
            try:
                with GpuRunner(path, driver) as runner:
                    results = runner.compute([values.of(tensor) for tensor in alone.feeds])
            except ModelFileError:
                continue
            for operation, result in zip(chunk, results, strict=True):
                error, unit = _error(values.of(operation.output), result)
                if not error <= (_MOST_STEPS if unit == "steps" else _LARGEST_SHARE):
                    return Fault(operation.index, operation.operator, operation.layer, error, unit)
    return None


def _error(expected: NDArray[Any], result: NDArray[Any]) -> tuple[float, str]:
    off = np.abs(expected.astype(np.float64) - result)
    if expected.dtype.kind in "iub":
        return float(off.max()), "steps"
    largest = float(np.abs(expected).max())
    return float(np.max(off / largest if largest else off)), "of its largest value"
