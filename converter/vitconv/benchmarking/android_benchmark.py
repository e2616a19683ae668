"""What files cost in the library that Android apps ship, without a phone.

On arm64-v8a, under an emulator, the instructions of one inference (`runtimes.android.instruction_counts`); on
x86_64, which runs here as it does in an emulator of phones or on a Chromebook, the time, in interleaved rounds as
`benchmark` has them. LiteRT's partitions stand beside the library's own, which is older and takes over less.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.benchmarking.benchmark import (
    check_rounds,
    interleaved,
    litert_name,
    machine,
    median_interval,
    model_files,
)
from vitconv.conversion import schemes
from vitconv.foundation.configs import check_types
from vitconv.foundation.cores import usable_cores
from vitconv.foundation.disk.files import sha256
from vitconv.foundation.errors import InputError
from vitconv.foundation.progress import Progress
from vitconv.runtimes.android.instruction_counts import (
    InstructionCounts,
    check_cpu,
    count_instructions,
    working_counter,
)
from vitconv.runtimes.android.libraries import LIBRARY_VERSION, folder
from vitconv.runtimes.android.runner import AndroidRunner
from vitconv.runtimes.litert import Runner

NEWEST_AND_OLDEST = ("max", "cortex-a53")


@dataclass(frozen=True)
class AndroidBenchmarkConfig:
    """`paths` as `BenchmarkConfig` has them. cpus: on which processors instructions are counted; operators: also
    those of each operator, which takes twice as long. threads, runs, warmup: of the times on x86_64, where a run
    can take seconds. Raises InputError for numbers out of range, UnknownNameError for another processor."""

    paths: tuple[Path, ...]
    cpus: tuple[str, ...] = NEWEST_AND_OLDEST
    operators: bool = False
    threads: int = 1
    runs: int = 10
    warmup: int = 1

    def __post_init__(self) -> None:
        check_types(self)
        check_rounds(self.paths, self.threads, self.runs, self.warmup)
        if not self.cpus:
            raise InputError(f"no processor was given. Name some, such as {', '.join(NEWEST_AND_OLDEST)}.")
        for cpu in self.cpus:
            check_cpu(cpu)


@dataclass(frozen=True)
class Delegation:
    """How much of the graph XNNPACK takes over; as in `litert.Runner`."""

    nodes: int
    delegated_nodes: int
    partitions: int


@dataclass(frozen=True)
class X86Timing:
    """Milliseconds of the library's x86_64 build; the median lies between the two others with at least 95 %
    confidence, see `median_interval`. `relative` is the median divided by float32's, None where it isn't here."""

    threads: int
    runs: int
    first_ms: float
    p50_ms: float
    p50_low_ms: float
    p50_high_ms: float
    relative: float | None = None


@dataclass(frozen=True)
class AndroidFile:
    """One file's figures. `scheme` comes from its name. litert, android: what XNNPACK takes over in LiteRT on this
    machine, and in Android's library; counts: by processor, as the config names them; `relative`: the counts
    divided by those of the float32 file beside it, None where there is none."""

    path: str
    scheme: str | None
    sha256: str
    litert: Delegation
    android: Delegation
    counts: tuple[InstructionCounts, ...]
    x86_64: X86Timing
    relative: tuple[float | None, ...] = ()

    def to_json(self) -> dict[str, Any]:
        times = {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self.x86_64).items()}
        return {
            "path": self.path,
            "scheme": self.scheme,
            "sha256": self.sha256,
            "litert": asdict(self.litert),
            "android": asdict(self.android),
            "arm64": [
                {**count.to_json(), "relative": None if share is None else round(share, 4)}
                for count, share in zip(self.counts, self.relative, strict=True)
            ],
            "x86_64": times,
        }


@dataclass(frozen=True)
class AndroidBenchmark:
    """`machine` is this one; `runtime` is Android's library, `litert` the desktop's."""

    machine: str
    runtime: str
    litert: str
    files: tuple[AndroidFile, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of `vitconv benchmark --runtime android --json`."""
        return {
            "machine": self.machine,
            "runtime": self.runtime,
            "litert": self.litert,
            "files": [file.to_json() for file in self.files],
        }


def benchmark_android(config: AndroidBenchmarkConfig, progress: Progress | None = None) -> AndroidBenchmark:
    """Times all files on x86_64, then counts each one's instructions on each processor.

    Raises InputError for a folder without .tflite files; ModelFileError for a file that is missing, or that a
    runtime refuses; MissingToolError, which says what to install. Every process it starts has ended when it
    returns or raises.
    """
    tell = progress or (lambda what, done, total: None)
    paths = model_files(config.paths)
    folder("x86_64")
    working_counter()
    litert = [_in_litert(path) for path in paths]
    times = _times(config, paths, tell)
    counted = _counts(config, paths, tell)
    files = []
    for number, path in enumerate(paths):
        counts = counted[number * len(config.cpus) : (number + 1) * len(config.cpus)]
        android = Delegation(counts[0].nodes, counts[0].delegated_nodes, counts[0].partitions)
        scheme = schemes.scheme_of(path)
        files.append(
            AndroidFile(str(path), scheme, sha256(path), litert[number], android, tuple(counts), times[number])
        )
    runtime = f"TensorFlow Lite {LIBRARY_VERSION} for Android, XNNPACK"
    return AndroidBenchmark(machine(), runtime, litert_name(), _beside_float32(files))


def _in_litert(path: Path) -> Delegation:
    with Runner(path) as runner:
        return Delegation(runner.nodes, runner.delegated_nodes, runner.partitions)


def _times(config: AndroidBenchmarkConfig, paths: list[Path], tell: Progress) -> list[X86Timing]:
    with ExitStack() as stack:
        runners = []
        for path in paths:
            runner = AndroidRunner(path, abi="x86_64", xnnpack=True, threads=config.threads)
            runners.append(stack.enter_context(runner))
            tell("loading on x86_64", len(runners), len(paths))
        run = [runner.time_ms for runner in runners]
        first, samples = interleaved(run, config.runs, config.warmup, tell)
    return [_timing(config.threads, before, rest) for before, rest in zip(first, samples, strict=True)]


def _timing(threads: int, first: float, samples: NDArray[np.float64]) -> X86Timing:
    return X86Timing(threads, len(samples), first, float(np.median(samples)), *median_interval(samples))


def _counts(config: AndroidBenchmarkConfig, paths: list[Path], tell: Progress) -> list[InstructionCounts]:
    """Of every file on every processor; as many at once as there are cores, as counts don't depend on what else
    runs."""
    jobs = [(path, cpu) for path in paths for cpu in config.cpus]
    running: list[AndroidRunner] = []
    stopped = Event()

    def started(runner: AndroidRunner) -> None:
        running.append(runner)
        if stopped.is_set():
            runner.kill()

    with ThreadPoolExecutor(usable_cores()) as pool:
        futures = [pool.submit(count_instructions, path, cpu, config.operators, started) for path, cpu in jobs]
        try:
            tell("counting instructions on arm64-v8a", 0, len(jobs))
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                tell("counting instructions on arm64-v8a", done, len(jobs))
        except BaseException:  # Ctrl-C, too: what runs would go on for a minute
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for runner in running:
                runner.kill()
            raise
    return [future.result() for future in futures]


def _beside_float32(files: list[AndroidFile]) -> tuple[AndroidFile, ...]:
    """Each with its shares of the exact file of the same name in the same folder."""
    exact = {_without_scheme(file): file for file in files if file.scheme and schemes.find(file.scheme).exact}
    found = []
    for file in files:
        base = exact.get(_without_scheme(file))
        shares = tuple(
            count.instructions / base.counts[number].instructions if base else None
            for number, count in enumerate(file.counts)
        )
        time = file.x86_64.p50_ms / base.x86_64.p50_ms if base else None
        found.append(replace(file, relative=shares, x86_64=replace(file.x86_64, relative=time)))
    return tuple(found)


def _without_scheme(file: AndroidFile) -> Path:
    path = Path(file.path)
    return path.with_name(path.stem.removesuffix(f"-{file.scheme}"))
