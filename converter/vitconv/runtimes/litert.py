"""Runs a .tflite file by LiteRT, in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path

from vitconv.runtimes.process import ModelProcess, python_worker

# What a file may take is far beyond any image classifier, even on a busy machine.
_FILE_SECONDS = 20.0


class Runner(ModelProcess):
    """One .tflite file, loaded and ready; a context manager, and `close` ends its process.

    `threads` is what the runtime may use (1–256), `xnnpack` whether it may hand nodes to XNNPACK, `timeout`
    how many seconds the load, and later each single run, may take.

    inputs, outputs      what the file takes and gives
    nodes                operations in the file's main graph
    delegated_nodes      how many of them XNNPACK took over, 0 without it
    partitions           how many parts the graph fell into, counting those on either side; 1 is best
    init_ms              construction, allocation and delegation, measured in the worker

    Raises ModelFileError where the file is missing, the runtime refuses it, or the worker died or hung;
    InputError for a thread count out of range; MissingToolError where there is no runtime.
    """

    def __init__(
        self, path: Path, *, threads: int = 1, xnnpack: bool = True, timeout: float = _FILE_SECONDS
    ) -> None:
        super().__init__(
            path,
            python_worker("vitconv.runtimes.worker"),
            threads=threads,
            xnnpack=xnnpack,
            timeout=timeout,
            # NumPy's linear algebra is not needed there, and would start a thread for every core.
            environment={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        self.nodes: int = self.loaded["nodes"]
        self.delegated_nodes: int = self.loaded["delegated_nodes"]
        self.partitions: int = self.loaded["partitions"]
        self.init_ms: float = self.loaded["init_ms"]

    def time_ms(self) -> float:
        """Milliseconds of one run on fixed random pixels, without the copies in and out."""
        answer, _ = self._ask({"do": "time"})
        return float(answer["ms"])

    @property
    def peak_memory_mb(self) -> float | None:
        """MiB by which the worker's peak resident set has grown since just before the file was loaded.

        About 10 MiB of it is the runtime's own code, whatever the file. None where the system does not tell
        (Windows).
        """
        answer, _ = self._ask({"do": "memory"})
        return None if answer["peak_mb"] is None else float(answer["peak_mb"])
