"""Runs a .tflite file by Android's own TensorFlow Lite library, in a process of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.runtimes.android.libraries import LIBRARY_VERSION, RUNNER, find_abi, folder
from vitconv.runtimes.process import ModelProcess
from vitconv.runtimes.worker import Message, cast_pixels
from vitconv.tflite.graph import Graph

_FILE_SECONDS = 20.0
_EMULATED_SECONDS = 300.0  # an emulated processor is some thirty times slower
_DELEGATED = re.compile(
    r"Replacing (\d+) out of (\d+) node\(s\) with delegate \(TfLiteXNNPackDelegate\) node, "
    r"yielding (\d+) partitions"
)


@dataclass(frozen=True)
class Event:
    """What runner.c tells of a run: "begin" and "end" of an operator of TFLite, with its place in the main graph;
    "clock", which XNNPACK reads before a partition's first operator and behind each; or, after the last of these,
    a "part" for each of the partition's operators. All but the last are marks for the emulator's plugin, too."""

    kind: str
    name: str = ""
    node: int = 0


class AndroidRunner(ModelProcess):
    """One .tflite file, loaded and ready, like `litert.Runner`, but what runs it is what a phone runs.

    `abi` is "x86_64" or "arm64-v8a", the latter under an emulator; `xnnpack` adds the XNNPACK delegate by hand, as
    an app has to. `emulator_options` are more of the emulator's own; `profile` has the runner note each operator's
    beginning and end for `count`. The first use makes the libraries ready: see `runtimes.android.libraries`.

    inputs, outputs      what the file takes and gives
    nodes                operations in the file's main graph
    delegated_nodes      how many of them XNNPACK took over, 0 without it
    partitions           how many parts the graph fell into, counting those on either side; 1 is best

    Raises ModelFileError, which names ABI and delegate, where the file is missing, the runtime refuses it, or its
    process died or hung; MissingToolError, which says what to install, where this machine cannot run it.
    """

    def __init__(
        self,
        path: Path,
        *,
        abi: str,
        xnnpack: bool,
        threads: int = 1,
        timeout: float | None = None,
        emulator_options: tuple[str, ...] = (),
        profile: bool = False,
    ) -> None:
        machine = find_abi(abi)
        program = [*machine.emulator, *emulator_options, str(folder(abi) / RUNNER)]
        super().__init__(
            path,
            [*program, str(path.absolute()), str(threads), str(int(xnnpack)), str(int(profile))],
            threads=threads,
            xnnpack=xnnpack,
            timeout=timeout or (_EMULATED_SECONDS if machine.emulator else _FILE_SECONDS),
            where=f" by TFLite {LIBRARY_VERSION} for Android on {abi} {'with' if xnnpack else 'without'} XNNPACK",
            remedy="The file is corrupt, or holds what this runtime cannot run (see `vitconv inspect`).",
        )
        # With several graphs the main one comes first. Nothing is logged where XNNPACK takes nothing.
        found = _DELEGATED.search(self.logged())
        if found:
            self.delegated_nodes, self.nodes, self.partitions = map(int, found.groups())
        else:
            graph = Graph.read(path).model.subgraphs[0]
            self.delegated_nodes, self.nodes, self.partitions = 0, len(graph.operators), 1

    def time_ms(self) -> float:
        """Milliseconds of one run on fixed pixels, without the copies in and out."""
        answer, _ = self._ask({"do": "time"})
        return float(answer["ms"])

    def count(self) -> list[Event]:
        """The same run, between two marks for the emulator's plugin, and with `profile` what happens in it."""
        answer, _ = self._ask({"do": "count"})
        return [Event(*event) for event in answer["events"]]

    def _run_request(self, image: NDArray[Any]) -> Message:
        pixels = cast_pixels(image, np.dtype(self.inputs[0].dtype).type)
        return {"do": "run"}, pixels.tobytes()
