"""What the two programs called benchmark_model print, read without inventing a number.

TensorFlow Lite's, times in microseconds; older builds without the prefix "INFO: " and without the percentiles:

    INFO: count=74 first=14850 curr=13315 min=13105 max=15765 avg=13520.2 std=470 p5=13200 median=13480 p95=14300
    INFO: Inference timings in us: Init: 12750, First inference: 14744, Warmup (avg): 13764, Inference (avg): 13520
    INFO: Memory footprint delta from the start of the tool (MB): init=8.97656 overall=18.7227
    INFO: Overall peak memory footprint (MB) via periodic monitoring: 93.2383
    VERBOSE: Replacing 390 out of 477 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 115 partitions …

LiteRT's prints the same count lines and then a block of its own, in milliseconds with two decimals:

    INFO: [benchmark_litert_model.h:88] Inference (avg):      71.45 ms (14 runs)

The first line of memory, which older builds call "Peak memory footprint", is how much the process has grown since
it started; the second, in LiteRT's block "Peak memory", is the largest that the whole process was.

What is not printed is None. Text that holds no complete, consistent result is none at all.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,15})?(?:e[+-]?[0-9]{1,2})?)"
_WHOLE = r"([0-9]{1,9})"

# The three forms of one statistic: no spread where all samples were the same, and a count alone for a single one.
_COUNT = re.compile(
    rf"\bcount={_WHOLE} first={_NUMBER} curr={_NUMBER} min={_NUMBER} max={_NUMBER} avg={_NUMBER} std={_NUMBER}"
    rf"(?: p5={_NUMBER} median={_NUMBER} p95={_NUMBER})?\s*$"
)
_SAME = re.compile(rf"\bcount={_WHOLE} curr={_NUMBER}(?:\s*\(all same\))?\s*$")
_SUMMARY = re.compile(
    rf"\bInference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, "
    rf"Warmup \(avg\): {_NUMBER}, Inference \(avg\): {_NUMBER}\s*$"
)
_MEMORY = re.compile(
    r"\b(?:Peak memory footprint|Memory footprint delta from the start of the tool) \(MB\): "
    rf"init={_NUMBER} overall={_NUMBER}\s*$"
)
_PEAK = re.compile(rf"\bOverall peak memory footprint \(MB\) via periodic monitoring: {_NUMBER}\s*$")
_REPLACING = re.compile(
    rf"\bReplacing {_WHOLE}(?: out of {_WHOLE})? node\(s\) with delegate \(([^()]{{1,80}})\)(?: node)?"
    rf"(?:, yielding {_WHOLE} partitions)?(?: for (?:the whole graph|subgraph 0))?\.?\s*$"
)
_UNCONSUMED = re.compile(r"\bUnconsumed cmdline flags:\s*(\S.{0,400})")
_BLOCK = "BENCHMARK RESULTS"
_BLOCK_LINES = {
    "init": re.compile(rf"\bModel initialization:\s+{_NUMBER} ms\s*$"),
    "first": re.compile(rf"\bWarmup \(first\):\s+{_NUMBER} ms\s*$"),
    "mean": re.compile(rf"\bInference \(avg\):\s+{_NUMBER} ms \({_WHOLE} runs\)\s*$"),
    "min": re.compile(rf"\bInference \(min\):\s+{_NUMBER} ms\s*$"),
    "max": re.compile(rf"\bInference \(max\):\s+{_NUMBER} ms\s*$"),
    "std": re.compile(rf"\bInference \(std\):\s+{_NUMBER}\s*$"),
    "peak": re.compile(rf"\bPeak memory:\s+{_NUMBER} MB\s*$"),
    "memory": re.compile(rf"\bOverall footprint:\s+{_NUMBER} MB\s*$"),
}
_EXTENTS = (
    ("will be completely executed by the delegate", "all"),
    ("will be partially executed by the delegate", "part"),
    ("will not be executed by the delegate", "none"),
)
# Both tools round what they print to six digits, LiteRT's block to 0.01 ms.
_ROUNDING, _BLOCK_STEP_MS = 1e-5, 0.005


@dataclass(frozen=True)
class Delegation:
    """One delegate's share of the graph: `nodes` of `total`; what the tool did not say is None."""

    delegate: str
    nodes: int
    total: int | None
    partitions: int | None


@dataclass(frozen=True)
class ToolOutput:
    """One run. Times in milliseconds; `first_ms` is the very first run, a warm-up.

    Memory in MiB: `memory_mb` is what the process has grown by, `peak_memory_mb` the most that it was in all.
    """

    runs: int
    init_ms: float
    first_ms: float
    mean_ms: float
    min_ms: float | None
    max_ms: float | None
    std_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    memory_mb: float | None
    peak_memory_mb: float | None = None


@dataclass(frozen=True)
class Log:
    """Everything a run said. `result` is None where it gave none.

    `extent` is what the tool says a delegate given to it took: "all", "part", "none" of the graph. `unconsumed`
    are flags it did not know, and ignored.
    """

    result: ToolOutput | None
    delegations: tuple[Delegation, ...]
    extent: str | None
    unconsumed: str | None


def parse(text: str) -> Log:
    """Reads what a run printed, of either tool, whatever else is in it."""
    lines = text.replace("\r", "").split("\n")
    delegations = tuple(
        Delegation(found[3], int(found[1]), _whole(found[2]), _whole(found[4]))
        for found in map(_REPLACING.search, lines)
        if found and (found[2] is None or int(found[1]) <= int(found[2]))
    )
    extent = next((word for line in lines for sentence, word in _EXTENTS if sentence in line), None)
    unconsumed = next((found[1].strip() for found in map(_UNCONSUMED.search, lines) if found), None)
    result = _tflite_result(lines) or _litert_result(lines)
    return Log(result if result and _is_consistent(result) else None, delegations, extent, unconsumed)


def _tflite_result(lines: list[str]) -> ToolOutput | None:
    summaries = [(index, found) for index, line in enumerate(lines) if (found := _SUMMARY.search(line))]
    if len(summaries) != 1:
        return None
    index, summary = summaries[0]
    init, first, _, mean = (float(value) / 1000 for value in summary.groups())
    statistic = _last_statistic(lines[:index])
    if statistic is None or not math.isclose(statistic.mean_ms, mean, rel_tol=_ROUNDING):
        return None
    memory = next((float(found[2]) for found in map(_MEMORY.search, lines[index:]) if found), None)
    peak = next((float(found[1]) for found in map(_PEAK.search, lines[index:]) if found), None)
    return _combined(statistic, init, first, memory, peak)


def _litert_result(lines: list[str]) -> ToolOutput | None:
    starts = [index for index, line in enumerate(lines) if _BLOCK in line]
    if len(starts) != 1:
        return None
    block = {}
    for name, pattern in _BLOCK_LINES.items():
        found = [match for match in map(pattern.search, lines[starts[0] :]) if match]
        if len(found) > 1:
            return None
        if found:
            block[name] = found[0]
    if not {"init", "first", "mean"} <= block.keys():
        return None

    def value(name: str) -> float | None:
        return float(block[name][1]) if name in block else None

    init, first, mean, runs = (
        *(float(block[name][1]) for name in ("init", "first", "mean")),
        int(block["mean"][2]),
    )
    memory, peak = value("memory"), value("peak")
    statistic = _last_statistic(lines[: starts[0]])
    if statistic is not None:
        if statistic.runs != runs or abs(statistic.mean_ms - mean) > _BLOCK_STEP_MS + mean * _ROUNDING:
            return None
        return _combined(statistic, init, first, memory, peak)
    return ToolOutput(runs, init, first, mean, value("min"), value("max"), value("std"), None, None, memory, peak)


def _last_statistic(lines: list[str]) -> ToolOutput | None:
    """The measured runs: the last count line. The one before it, if any, is the warm-up's."""
    for line in reversed(lines):
        if found := _COUNT.search(line):
            values = [None if value is None else float(value) / 1000 for value in found.groups()[1:]]
            _, _, least, most, mean, std, _, median, p95 = values
            assert mean is not None
            return ToolOutput(int(found[1]), 0, 0, mean, least, most, std, median, p95, None)
        if found := _SAME.search(line):
            same = float(found[2]) / 1000
            return ToolOutput(int(found[1]), 0, 0, same, same, same, None, same, same, None)
    return None


def _combined(
    statistic: ToolOutput, init: float, first: float, memory: float | None, peak: float | None
) -> ToolOutput:
    return ToolOutput(
        statistic.runs, init, first, statistic.mean_ms, statistic.min_ms, statistic.max_ms, statistic.std_ms,
        statistic.p50_ms, statistic.p95_ms, memory, peak,
    )  # fmt: skip


def _is_consistent(result: ToolOutput) -> bool:
    """Whether the numbers can belong to one series of runs; garbage that looks like a result seldom does."""
    if result.runs < 1 or result.mean_ms <= 0:
        return False
    slack = 1 + _ROUNDING
    low, high = result.min_ms, result.max_ms
    if low is not None and high is not None:
        step = _BLOCK_STEP_MS  # of LiteRT's block; far below any real spread of the other tool's
        middle = [value for value in (result.mean_ms, result.p50_ms, result.p95_ms) if value is not None]
        if any(value * slack + step < low or value > high * slack + step for value in middle):
            return False
    return True


def _whole(text: str | None) -> int | None:
    return None if text is None else int(text)
