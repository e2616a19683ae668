"""What a benchmark on a phone found, and how its rounds become one figure each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from vitconv.conversion.schemes import scheme_of
from vitconv.phone.benchmark_output import Delegation, Log, ToolOutput
from vitconv.phone.device.adb import Device
from vitconv.phone.device.phone_folder import Pushed

_XNNPACK = "XNNPack"  # in the delegate's own name


@dataclass(frozen=True)
class Round:
    """One run of the tool, Android's thermal status around it, and what is to be known about how it ended."""

    log: Log
    thermal_before: str | None
    thermal_after: str | None
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        assert self.log.result
        thermal = [self.thermal_before, self.thermal_after]
        values = {**asdict(self.log.result), "thermal": thermal, "note": self.note}
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}


@dataclass(frozen=True)
class PhoneTiming:
    """One combination's figures over its rounds; times in milliseconds, memory in MiB.

    mean_ms                         over all timed runs
    min_ms, max_ms                  their extremes
    init_ms, first_ms, p50_ms, p95_ms   the median of what the rounds printed; None where one did not print it
    peak_memory_mb                  the most that the tool's process was, the largest of the rounds
    memory_growth_mb                what it grew by from its start, the largest of the rounds
    notes                           what is to be known about rounds that did not end well
    runs                            timed runs in all rounds
    delegated                       what the delegate took of the graph: "all", "part", "none"; None: not said
    delegated_nodes of nodes, partitions   the same in numbers, where the tool says
    thermal                         Android's thermal status before the first round, and after the last
    """

    path: str
    scheme: str | None
    sha256: str
    delegate: str
    threads: int
    runs: int
    init_ms: float
    first_ms: float
    mean_ms: float
    min_ms: float | None
    max_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    peak_memory_mb: float | None
    nodes: int | None
    delegated_nodes: int | None
    partitions: int | None
    delegated: str | None
    thermal: tuple[str | None, str | None]
    rounds: tuple[Round, ...] = field(repr=False)
    memory_growth_mb: float | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["rounds"] = [one.to_json() for one in self.rounds]
        values |= {"thermal": list(self.thermal), "notes": list(self.notes)}
        values["p90_ms"] = None  # no build of the tool prints it; readers of all benchmarks look for it
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}


@dataclass(frozen=True)
class Case:
    """One combination. `remote` is the model's name in the phone's folder."""

    path: Path
    sha256: str
    remote: str
    threads: int
    delegate: str

    def problem(self, reason: str) -> Problem:
        return Problem(str(self.path), self.threads, self.delegate, reason)


@dataclass(frozen=True)
class Problem:
    """What went wrong, and with which combination; with the phone as a whole where that is None."""

    path: str | None
    threads: int | None
    delegate: str | None
    reason: str

    def is_about(self, case: Case) -> bool:
        return (self.path, self.threads, self.delegate) == (str(case.path), case.threads, case.delegate)

    def __str__(self) -> str:
        if self.path is None:
            return self.reason
        return f"{Path(self.path).name}, {self.delegate}, {self.threads} threads: {self.reason}"


@dataclass(frozen=True)
class PhoneBenchmark:
    """One phone's result. It is whole where `problems` is empty."""

    device: Device
    tool: str | None
    tool_sha256: str | None
    tool_source: str | None
    harness: str
    delegates: tuple[str, ...]
    cpu_mask: str | None
    cooldown_s: float
    pushed: Pushed
    files: tuple[PhoneTiming, ...]
    problems: tuple[Problem, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of `vitconv benchmark --device --json`."""
        return {
            "machine": str(self.device),
            "runtime": self.tool,
            "device": self.device.to_json(),
            "tool": {"name": self.tool, "sha256": self.tool_sha256, "source": self.tool_source},
            "harness": self.harness,
            "delegate": list(self.delegates),
            "cpu_mask": self.cpu_mask,
            "cooldown_s": self.cooldown_s,
            "pushed": asdict(self.pushed),
            "files": [timing.to_json() for timing in self.files],
            "problems": [asdict(problem) for problem in self.problems],
        }


def phone_timing(case: Case, rounds: Sequence[Round]) -> PhoneTiming:
    """The figures of one combination; see PhoneTiming. There is at least one round, and each has a result."""
    results = [one.log.result for one in rounds if one.log.result]
    runs = sum(result.runs for result in results)
    share, extent = delegation(rounds[0].log, case.delegate)
    return PhoneTiming(
        path=str(case.path),
        scheme=scheme_of(case.path),
        sha256=case.sha256,
        delegate=case.delegate,
        threads=case.threads,
        runs=runs,
        init_ms=median(result.init_ms for result in results),
        first_ms=median(result.first_ms for result in results),
        mean_ms=sum(result.mean_ms * result.runs for result in results) / runs,
        min_ms=_of_all(results, "min_ms", min),
        max_ms=_of_all(results, "max_ms", max),
        p50_ms=_of_all(results, "p50_ms", median),
        p95_ms=_of_all(results, "p95_ms", median),
        peak_memory_mb=_of_all(results, "peak_memory_mb", max),
        nodes=share.total if share else None,
        delegated_nodes=share.nodes if share else None,
        partitions=share.partitions if share else None,
        delegated=extent,
        thermal=(rounds[0].thermal_before, rounds[-1].thermal_after),
        rounds=tuple(rounds),
        memory_growth_mb=_of_all(results, "memory_mb", max),
        notes=tuple(dict.fromkeys(one.note for one in rounds if one.note)),
    )


def delegation(log: Log, delegate: str) -> tuple[Delegation | None, str | None]:
    """What the wanted delegate took, and how much of the graph that is.

    Behind a GPU or an NPU the runtime gives what is left to XNNPACK, whose share is not the wanted one's. On
    "cpu" no delegate may take anything, so whichever did is what counts.
    """

    def wanted(name: str) -> bool:
        return delegate == "cpu" or (_XNNPACK in name) == (delegate == "xnnpack")

    share = next((one for one in log.delegations if wanted(one.delegate)), None)
    if log.extent:
        return share, log.extent
    if share is None:
        # Another delegate's share was printed, so the wanted one's would have been, had it taken any.
        return None, "none" if log.delegations else None
    if share.nodes == 0:
        return share, "none"
    if share.total is None:
        return share, None
    return share, "all" if share.nodes == share.total else "part"


def _of_all(results: Sequence[ToolOutput], name: str, combine: Callable[[list[float]], float]) -> float | None:
    values = [getattr(result, name) for result in results]
    return None if None in values else float(combine(values))
