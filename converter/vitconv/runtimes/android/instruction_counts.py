"""How many instructions one inference takes on a phone's processor: the same number every time, without a phone.

Android's arm64-v8a library runs under QEMU, whose plugin (counter.c) counts what is executed. XNNPACK chooses its
kernels by what the processor can do, so each of CPUS has counts of its own. Instructions are not milliseconds: a
load that misses the cache costs a hundred times what an addition does, and some processors do two things at once.
But the same file always gives the same count, and a graph's needless work shows.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.foundation.errors import MissingToolError, OutputError, UnknownNameError
from vitconv.foundation.programs import output_of
from vitconv.runtimes.android.libraries import HOW_TO_GET_PLUGINS, RUNNER, counter, find_abi, folder
from vitconv.runtimes.android.runner import AndroidRunner, Event

ABI = "arm64-v8a"

# The processors that can be asked for, as QEMU calls them, and what of theirs XNNPACK uses for int8.
CPUS = {
    "max": "dot products and i8mm, as processors of 2021 and later",
    "cortex-a76": "dot products, as processors of 2018 and later",
    "cortex-a53": "neither, as the oldest 64-bit processors",
}

# In counter.c's order. multiply_add: FMLA and FMADD, and the integers' MLA and SMLAL; other_simd has the rest of
# vector and floating-point arithmetic, conversions and moves; other has addresses, branches and comparisons.
KINDS = ("load", "store", "multiply_add", "dot_product", "i8mm", "other_simd", "other")

XNNPACK = "XNNPACK"
INTERPRETER = "(interpreter)"
PART = "part"

_TRIAL_SECONDS = 60.0
_RUN_SECONDS = 1800.0  # thousand million instructions with float arithmetic take a minute
_LONGEST_REASON = 300  # characters


@dataclass(frozen=True)
class OperatorCount:
    """An operator as it ran, by TFLite's name or by XNNPACK's ("Fully Connected (NC, QS8) GEMM").

    index: its place in the file's main graph; of one of XNNPACK's its place in the partition. partition: the
    number of XNNPACK's partition that it belongs to, in the order in which they run; None for TFLite's own.
    """

    name: str
    index: int
    partition: int | None
    by_kind: Mapping[str, int]

    @property
    def instructions(self) -> int:
        return sum(self.by_kind.values())


@dataclass(frozen=True)
class InstructionCounts:
    """One inference of one file, the second: the first one prepares kernels. Copies in and out are not counted.

    by_kind: the instructions by KINDS; operators: in the order in which they ran, None where that was not asked.
    What is in none of them is the interpreter's own work. nodes, delegated_nodes, partitions: as AndroidRunner has
    them.
    """

    cpu: str
    by_kind: Mapping[str, int]
    nodes: int
    delegated_nodes: int
    partitions: int
    operators: tuple[OperatorCount, ...] | None = None

    @property
    def instructions(self) -> int:
        return sum(self.by_kind.values())

    def by_operator(self) -> dict[str, tuple[int, int]]:
        """Operator → (how many of it, their instructions), the most expensive first, the interpreter among them,
        so that they add up. Those in XNNPACK's partitions are called "XNNPACK …"."""
        numbers: Counter[str] = Counter()
        sums: Counter[str] = Counter()
        for operator in self.operators or ():
            name = operator.name if operator.partition is None else f"{XNNPACK} {operator.name}"
            numbers[name] += 1
            sums[name] += operator.instructions
        sums[INTERPRETER] = self.instructions - sums.total()
        return {name: (numbers[name], count) for name, count in sums.most_common()}

    def to_json(self) -> dict[str, Any]:
        """Whole numbers throughout; operators only where they were asked."""
        document = {"cpu": self.cpu, "instructions": self.instructions, **asdict(self)}
        del document["operators"]
        if self.operators is not None:
            document["operators"] = [
                {"instructions": operator.instructions, **asdict(operator)} for operator in self.operators
            ]
            document["by_operator"] = {
                name: {"count": count, "instructions": instructions}
                for name, (count, instructions) in self.by_operator().items()
            }
        return document


def check_cpu(name: str) -> str:
    """Raises UnknownNameError, which lists the known ones."""
    if name not in CPUS:
        raise UnknownNameError("processor", name, CPUS)
    return name


def count_instructions(
    path: Path, cpu: str, operators: bool = False, started: Callable[[AndroidRunner], None] | None = None
) -> InstructionCounts:
    """Counts one inference of a .tflite file with XNNPACK, on fixed pixels and one thread; with `operators` those
    of each operator, too, which takes another process, as marking them costs a few in a thousand. `started` gets
    each process, so that another thread can kill it.

    Raises UnknownNameError for another `cpu`; ModelFileError where the file is missing, or the runtime refuses it;
    MissingToolError, which says what to install, where this machine cannot count.
    """
    check_cpu(cpu)
    plugin = working_counter()
    started = started or (lambda runner: None)
    runner, _, marks = _second_run(path, cpu, plugin, False, started)
    counted = InstructionCounts(
        cpu, _by_kind(marks[-1] - marks[0]), runner.nodes, runner.delegated_nodes, runner.partitions
    )
    if not operators:
        return counted
    _, events, marks = _second_run(path, cpu, plugin, True, started)
    return replace(counted, operators=tuple(_operators(events, marks[1:-1])))


def _second_run(
    path: Path, cpu: str, plugin: Path, profile: bool, started: Callable[[AndroidRunner], None]
) -> tuple[AndroidRunner, list[Event], NDArray[np.uint64]]:
    """The closed runner, the second run's events, and what was executed up to each mark: uint64 [marks, KINDS]."""
    with tempfile.TemporaryDirectory() as temporary:
        rows = Path(temporary) / "rows"
        options = ("-cpu", cpu, "-plugin", _plugin_option(plugin, rows))
        with AndroidRunner(
            path, abi=ABI, xnnpack=True, timeout=_RUN_SECONDS, emulator_options=options, profile=profile
        ) as runner:
            started(runner)
            first, second = runner.count(), runner.count()
            numbers = np.fromfile(rows, "<u8")
    marks = [2 + sum(event.kind != PART for event in events) for events in (first, second)]
    if len(numbers) != sum(marks) * len(KINDS):  # a full disk, if anything
        raise OutputError(
            f"the counts of {path} could not be written into {temporary}. Set TMPDIR to another folder."
        )
    return runner, second, numbers.reshape(-1, len(KINDS))[-marks[1] :]


def _operators(events: list[Event], marks: NDArray[np.uint64]) -> Iterator[OperatorCount]:
    """marks: of the events that are no "part", uint64 [marks, KINDS]. An operator that runs others (a loop) counts
    these once more."""
    at, partition = 0, 0
    begun: list[tuple[Event, int]] = []
    clocks: list[int] = []
    for kind, group in groupby(events, key=lambda event: event.kind):
        run = list(group)
        if kind == PART:
            starts = clocks[-len(run) - 1 :]  # of the parts, and the end of the last
            for part, start, end in zip(run, starts, starts[1:], strict=False):
                yield OperatorCount(part.name, part.node, partition, _by_kind(marks[end] - marks[start]))
            partition, clocks = partition + 1, []
            continue
        for event in run:
            if kind == "clock":
                clocks.append(at)
            elif kind == "begin":
                begun.append((event, at))
            elif begun:
                operator, start = begun.pop()
                yield OperatorCount(operator.name, operator.node, None, _by_kind(marks[at] - marks[start]))
            at += 1


def _by_kind(counts: NDArray[np.uint64]) -> dict[str, int]:
    return {kind: int(count) for kind, count in zip(KINDS, counts, strict=True)}


def _plugin_option(plugin: Path, rows: Path) -> str:
    """QEMU ends a value at a comma, unless there are two."""
    file, out = (str(path).replace(",", ",,") for path in (plugin, rows))
    return f"file={file},out={out}"


def working_counter() -> Path:
    """The plugin, after QEMU has loaded it once.

    Raises MissingToolError where something is not installed, and where QEMU does not take the plugin.
    """
    program = folder(ABI) / RUNNER
    plugin = counter()
    machine = find_abi(ABI)
    with tempfile.TemporaryDirectory() as temporary:
        options = ("-plugin", _plugin_option(plugin, Path(temporary) / "rows"))
        try:
            done = output_of([*machine.emulator, *options, str(program)], _TRIAL_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MissingToolError(f"{machine.emulator[0]} cannot be run: {error}.") from error
    if not done.stderr.startswith("usage: runner"):  # what the runner says to no arguments
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = next((line for line in lines if "plugin" in line.lower()), (lines or ["nothing"])[0])
        raise MissingToolError(
            f"{machine.emulator[0]} cannot count instructions: it does not take vitconv's plugin, and says: "
            f"{said[:_LONGEST_REASON].rstrip('.')}. {HOW_TO_GET_PLUGINS}"
        )
    return plugin
