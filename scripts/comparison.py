"""What the compare-with-… scripts share: .tflite files against each other in one run, as a table and as JSON."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitconv.benchmarking.benchmark import BenchmarkConfig, benchmark
from vitconv.cli.tables.layout import table
from vitconv.cli.terminal.progress import ConsoleProgress
from vitconv.foundation.errors import VitconvError
from vitconv.runtimes.litert import Runner
from vitconv.tflite.inspection import inspect

if TYPE_CHECKING:
    from vitconv.benchmarking.benchmark import FileTiming


@dataclass(frozen=True)
class Candidate:
    """One way to a file. `path` is None where that way made none; `failure` then says why.

    `max_difference` is the largest difference of any output from Keras's on the same images.
    """

    name: str
    path: Path | None
    max_difference: float | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Row:
    """A candidate's figures; `slower_than` is its p50 as a multiple of each baseline's."""

    name: str
    failure: str | None
    ops: int | None = None
    partitions: int | None = None
    min_ms: float | None = None
    p50_ms: float | None = None
    megabytes: float | None = None
    max_difference: float | None = None
    slower_than: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Comparison:
    """All rows of one network, timed together with one thread; `machine` and `runtime` say on what."""

    title: str
    machine: str
    runtime: str
    runs: int
    rows: tuple[Row, ...]


def tried(name: str, path: Path, images: NDArray[Any], expected: NDArray[Any]) -> Candidate:
    """The file as a candidate: runs it on images [N, H, W, 3], whose right outputs are `expected` [N, classes]."""
    try:
        with Runner(path) as runner:
            difference = float(np.abs(runner.probabilities(images) - expected).max())
    except VitconvError as error:
        flex = inspect(path).flex_ops
        reason = f"needs TensorFlow's own ops: {', '.join(flex)}" if flex else str(error)
        return Candidate(name, None, failure=f"the file does not run, {reason}")
    return Candidate(name, path, difference)


def as_stored(runner: Runner, values: NDArray[Any]) -> NDArray[Any]:
    """What a file with an int8 input takes for values; other files take them as they are."""
    source = runner.inputs[0]
    if source.dtype != "int8" or source.scale is None or source.zero_point is None:
        return values
    steps = np.rint(values / np.float32(source.scale)) + source.zero_point
    return np.clip(steps, -128, 127).astype(np.int8)


def compare(title: str, candidates: Sequence[Candidate], baselines: Sequence[str], runs: int) -> Comparison:
    """Times all files that run, interleaved, and sets each against the candidates named `baselines`."""
    there = {candidate.name: candidate.path for candidate in candidates if candidate.path}
    progress = ConsoleProgress()
    result = benchmark(BenchmarkConfig(tuple(there.values()), threads=1, runs=runs), progress)
    progress.close()
    timings = dict(zip(there, result.files, strict=True))
    rows = [_row(candidate, timings, baselines) for candidate in candidates]
    return Comparison(title, result.machine, result.runtime, runs, tuple(rows))


def _row(candidate: Candidate, timings: Mapping[str, FileTiming], baselines: Sequence[str]) -> Row:
    if candidate.path is None:
        return Row(candidate.name, candidate.failure)
    timing = timings[candidate.name]
    return Row(
        candidate.name,
        None,
        inspect(candidate.path).op_count,
        timing.partitions,
        round(timing.min_ms, 3),
        round(timing.p50_ms, 3),
        round(candidate.path.stat().st_size / 1e6, 3),
        candidate.max_difference,
        {name: round(timing.p50_ms / timings[name].p50_ms, 3) for name in baselines},
    )


def show(comparisons: Sequence[Comparison], as_json: bool) -> None:
    """Prints all comparisons on standard output."""
    if as_json:
        json.dump([asdict(comparison) for comparison in comparisons], sys.stdout, indent=2)
        print()
        return
    for comparison in comparisons:
        baselines = next(list(row.slower_than) for row in comparison.rows if row.slower_than)
        figures = ("ops", "partitions", "min ms", "p50 ms", "MB", "max difference")
        header = ("", *figures, *(f"÷ {name}" for name in baselines))
        rows = [_cells(row) for row in comparison.rows if not row.failure]
        print(f"\n{comparison.title}\n{comparison.machine}")
        print(f"{comparison.runtime}; 1 thread, {comparison.runs} interleaved runs; ratios are of p50\n")
        print(table(header, rows, shutil.get_terminal_size((120, 24)).columns))
        for row in comparison.rows:
            if row.failure:
                print(f"{row.name}  fails: {row.failure}")


def _cells(row: Row) -> tuple[str, ...]:
    difference = "" if row.max_difference is None else f"{row.max_difference:.1e}"
    ratios = (f"{ratio:.2f}" for ratio in (row.slower_than or {}).values())
    return (
        row.name, str(row.ops), str(row.partitions), f"{row.min_ms:.2f}", f"{row.p50_ms:.2f}",
        f"{row.megabytes:.2f}", difference, *ratios,
    )  # fmt: skip
