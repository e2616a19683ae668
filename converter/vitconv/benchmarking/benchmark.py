"""Latency and memory of .tflite files on this machine.

Every file has a process of its own, all of them alive at once, and each round runs every file once, in an
order that changes from round to round: whatever disturbs the machine for a while disturbs all files alike, so
that their ratios can be trusted further than their milliseconds. A file that waits for its turn takes no
processor time.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.conversion.schemes import scheme_of
from vitconv.foundation.configs import check_types
from vitconv.foundation.cores import usable_cores
from vitconv.foundation.disk.files import sha256
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.foundation.progress import Progress
from vitconv.runtimes.litert import Runner
from vitconv.runtimes.process import MOST_THREADS

MOST_RUNS = 1_000_000  # all samples are kept in memory
_QUANTILES = tuple(range(0, 101, 5))


@dataclass(frozen=True)
class BenchmarkConfig:
    """`paths` are .tflite files, or folders; a folder stands for all .tflite files in it, sorted by name.

    `threads` is what each file's runtime may use, `runs` how many measured rounds there are, after `warmup`
    rounds that are not. Raises InputError for numbers out of range.
    """

    paths: tuple[Path, ...]
    threads: int = 1
    runs: int = 50
    warmup: int = 5

    def __post_init__(self) -> None:
        check_types(self)
        check_rounds(self.paths, self.threads, self.runs, self.warmup)


def check_rounds(paths: Sequence[Path], threads: int, runs: int, warmup: int) -> None:
    """Raises InputError where there is nothing to measure, or a number is out of range."""
    if not paths:
        raise InputError("there is nothing to benchmark. Give .tflite files, or a folder that holds some.")
    for name, value, least, most in (
        ("threads", threads, 1, MOST_THREADS),
        ("runs", runs, 1, MOST_RUNS),
        ("warmup", warmup, 0, MOST_RUNS),
    ):
        if not least <= value <= most:
            raise InputError(f"{name} must be {least} to {most}, not {value}.")


@dataclass(frozen=True)
class FileTiming:
    """One file's figures; times in milliseconds, memory in MiB.

    Percentiles interpolate linearly between samples (numpy.percentile's default). The true median lies
    between `p50_low_ms` and `p50_high_ms` with at least 95 % confidence, see `median_interval`; with fewer
    than six runs these are merely the extremes. `first_ms` is the very first run, which is in none of the
    others. `quantiles_ms` are the 0th, 5th, 10th … 100th percentile. `scheme` comes from the file's name, None
    where it does not end in one.
    """

    path: str
    scheme: str | None
    sha256: str
    threads: int
    runs: int
    init_ms: float
    first_ms: float
    mean_ms: float
    min_ms: float
    p50_ms: float
    p50_low_ms: float
    p50_high_ms: float
    p90_ms: float
    p95_ms: float
    peak_memory_mb: float | None
    nodes: int
    delegated_nodes: int
    partitions: int
    samples_ms: tuple[float, ...] = field(repr=False)

    @property
    def quantiles_ms(self) -> tuple[float, ...]:
        return tuple(float(value) for value in np.percentile(self.samples_ms, _QUANTILES))

    def to_json(self) -> dict[str, Any]:
        """All but the samples, of which quantiles stand, to a tenth of a microsecond."""
        values = asdict(self)
        del values["samples_ms"]
        values["quantiles_ms"] = [round(value, 4) for value in self.quantiles_ms]
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}


@dataclass(frozen=True)
class Benchmark:
    """What ran where. `machine` is processor, cores and system; `runtime` its name, version and delegate."""

    machine: str
    runtime: str
    files: tuple[FileTiming, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of `vitconv benchmark --json`."""
        return {
            "machine": self.machine,
            "runtime": self.runtime,
            "files": [timing.to_json() for timing in self.files],
        }


def benchmark(config: BenchmarkConfig, progress: Progress | None = None) -> Benchmark:
    """Times all files together; `progress` is told (what, done, total) after each load and each round.

    Raises InputError for a folder without .tflite files, ModelFileError for a file that is missing or that
    the runtime refuses. Every process it starts has ended when it returns or raises.
    """
    tell = progress or (lambda what, done, total: None)
    paths = model_files(config.paths)
    with ExitStack() as stack:
        runners = []
        for path in paths:
            runners.append(stack.enter_context(Runner(path, threads=config.threads)))
            tell("loading", len(runners), len(paths))
        first, samples = interleaved([runner.time_ms for runner in runners], config.runs, config.warmup, tell)
        timings = [
            _timing(runner, config.threads, first[index], samples[index]) for index, runner in enumerate(runners)
        ]
    return Benchmark(machine(), litert_name(), tuple(timings))


def litert_name() -> str:
    """This machine's own runtime, its version and its delegate."""
    return f"ai-edge-litert {version('ai-edge-litert')}, XNNPACK"


def interleaved(
    times: Sequence[Callable[[], float]], runs: int, warmup: int, tell: Progress
) -> tuple[list[float], NDArray[np.float64]]:
    """Milliseconds of each file's first run, and of `runs` rounds after `warmup` others, float64 [files, runs]."""
    first = [time_ms() for time_ms in times]
    for number in range(warmup):
        for index in round_order(len(times), number):
            times[index]()
        tell("warming up", number + 1, warmup)
    samples = np.empty((len(times), runs))
    for number in range(runs):
        for index in round_order(len(times), warmup + number):
            samples[index, number] = times[index]()
        tell("timing", number + 1, runs)
    return first, samples


def round_order(count: int, number: int) -> list[int]:
    """In which order round `number` runs `count` files: shuffled, and the same in every benchmark.

    Shuffled rather than rotated, so that no file always follows the same other one.
    """
    return [int(index) for index in np.random.default_rng(number).permutation(count)]


def median_interval(samples: NDArray[Any]) -> tuple[float, float]:
    """Two samples that enclose the true median with at least 95 % confidence, whatever the distribution.

    Each sample is below the median with probability ½, so how many are is Binomial(n, ½); its normal
    approximation gives the k for which the k-th smallest and the k-th largest enclose it. Below six samples
    nothing is confident enough, and the extremes are given.
    """
    ordered, count = np.sort(samples), len(samples)
    k = max(1, int((count - 1.96 * math.sqrt(count)) / 2))
    return float(ordered[k - 1]), float(ordered[count - k])


# What decides how fast integers are beside floats; the first that the processor has is named. Linux's names, of
# x86-64 and of arm64.
_INSTRUCTIONS = {
    "avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX-VNNI", "avx512f": "AVX-512", "avx2": "AVX2",
    "i8mm": "I8MM", "asimddp": "dot product", "asimd": "NEON",
}  # fmt: skip


def machine() -> str:
    """Processor with its widest instructions for integers, cores that this process may use, and operating system,
    in one line."""
    processor = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        flags = facts.get("flags", facts.get("Features", "")).split()
        instructions = next((text for flag, text in _INSTRUCTIONS.items() if flag in flags), "")
        processor = facts.get("model name", processor) + (f" with {instructions}" if instructions else "")
    cores = usable_cores()
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return f"{processor}, {cores} core{'s' if cores > 1 else ''}, {system}"


def model_files(paths: tuple[Path, ...]) -> list[Path]:
    """The .tflite files that `BenchmarkConfig.paths` means, in order; raises as `benchmark` does."""
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(file for file in path.glob("*.tflite") if file.is_file())
        if not inside:
            raise InputError(f"there is no .tflite file in {path}. Give an export folder, or a file.")
        files += inside
    for file in files:
        if not file.is_file():
            raise ModelFileError(f"there is no model file {file}. Check the path.")
    return files


def _timing(runner: Runner, threads: int, first: float, samples: NDArray[Any]) -> FileTiming:
    p50, p90, p95 = (float(value) for value in np.percentile(samples, (50, 90, 95)))
    low, high = median_interval(samples)
    return FileTiming(
        path=str(runner.path),
        scheme=scheme_of(runner.path),
        sha256=sha256(runner.path),
        threads=threads,
        runs=len(samples),
        init_ms=runner.init_ms,
        first_ms=first,
        mean_ms=float(samples.mean()),
        min_ms=float(samples.min()),
        p50_ms=p50,
        p50_low_ms=low,
        p50_high_ms=high,
        p90_ms=p90,
        p95_ms=p95,
        peak_memory_mb=runner.peak_memory_mb,
        nodes=runner.nodes,
        delegated_nodes=runner.delegated_nodes,
        partitions=runner.partitions,
        samples_ms=tuple(float(sample) for sample in samples),
    )
