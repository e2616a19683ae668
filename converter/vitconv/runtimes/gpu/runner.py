"""Runs a .tflite file by LiteRT's GPU accelerator, in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.foundation.errors import ModelFileError
from vitconv.runtimes.gpu import log
from vitconv.runtimes.gpu.drivers import Driver
from vitconv.runtimes.gpu.worker import LOADER, WITH_CPU
from vitconv.runtimes.process import ModelProcess, python_worker
from vitconv.runtimes.worker import Message, cast_pixels

_NOT_TAKEN = "Failed to modify graph with delegate"  # of a graph with shapes that are known late, for example

# A software Vulkan takes seconds to compile a graph's shaders and seconds for a picture, and many more where other
# programs want the processor, too.
_FILE_SECONDS = 150.0


class RefusedByGpuError(ModelFileError):
    """The accelerator does not take the whole file, and says so. `operators`: which of them, and why, empty where
    it names none; `counts`: how many operations it would take, of how many, None where it does not say."""

    def __init__(self, message: str, said: str) -> None:
        super().__init__(message)
        self.operators = log.refused(said)
        self.counts = log.operations(said)


class GpuRunner(ModelProcess):
    """One .tflite file, compiled for the GPU and ready, like `litert.Runner`; it computes in 32 bits.

    `with_cpu` has the CPU compute what the GPU does not take, which is refused otherwise. `timeout` is how many
    seconds the load, and later each single run, may take.

    inputs, outputs      what the file takes and gives
    fully_accelerated    whether the GPU computes all of it
    adapter              the name of what computes
    operations           how many operations the GPU computes, of how many; None where nothing was refused

    Raises RefusedByGpuError where the accelerator refuses the file, ModelFileError where it is missing or the
    process died or hung over it, MissingToolError where the runtime cannot be started.
    """

    def __init__(
        self,
        path: Path,
        driver: Driver,
        *,
        with_cpu: bool = False,
        timeout: float = _FILE_SECONDS,
    ) -> None:
        own = {LOADER: driver.loader, WITH_CPU: "1" if with_cpu else "", "OPENBLAS_NUM_THREADS": "1"}
        super().__init__(
            path,
            python_worker("vitconv.runtimes.gpu.worker"),
            threads=1,  # the driver decides
            xnnpack=False,
            timeout=timeout,
            environment={**os.environ, **driver.environment, **own},
            where=" by LiteRT's GPU accelerator",
            remedy="Use another file for GPUs, such as the float16 one.",
        )
        said = self.logged()
        self.fully_accelerated: bool = self.loaded["fully_accelerated"]
        self.adapter = log.adapter(said)
        self.operations = log.operations(said)

    @property
    def validation_errors(self) -> tuple[str, ...]:
        """What the accelerator has found invalid so far; then no number is to be trusted."""
        return log.validation_errors(self.logged())

    def compute(self, values: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """A graph of any inputs and outputs, in the graph's order; what each holds is of its type and shape."""
        _, data = self._ask({"do": "run"}, b"".join(np.ascontiguousarray(value).tobytes() for value in values))
        results = []
        place = 0
        for tensor in self.outputs:
            dtype = np.dtype(tensor.dtype)
            count = int(np.prod(tensor.shape, dtype=np.int64))
            results.append(np.frombuffer(data, dtype, count, place).reshape(tensor.shape))
            place += count * dtype.itemsize
        return results

    def _run_request(self, image: NDArray[Any]) -> Message:
        return {"do": "run"}, cast_pixels(image, np.dtype(self.inputs[0].dtype).type).tobytes()

    def _failed(self, reason: str) -> ModelFileError:
        said = self.logged()
        if refused := log.refused(said):
            listed = "; ".join(f"{name} ({why})" for name, why in refused.items())
            return RefusedByGpuError(f"{self._cannot}, which refuses {listed}. {self._remedy}", said)
        if _NOT_TAKEN in reason:
            refused_whole = f"{self._cannot}, which refuses it as a whole and does not say why. {self._remedy}"
            return RefusedByGpuError(refused_whole, said)
        return super()._failed(reason)
