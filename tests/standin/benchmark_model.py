"""A stand-in for benchmark_model: takes its flags, really runs the model with LiteRT, prints its lines.

Its program on the phone is a line of shell that starts this file, see `program`. The phone's file tool.json says
what it is to be: {"format": "new" | "old" | "litert", "fault": None | "hang" | "crash" | "garbage" | "endless" |
"late hang" | "late crash" | "late exit", which come after the whole result,
"fault_at": the number of the run at which the fault comes}. There is no GPU and no NNAPI here: asked for one it
does what the real tool does on such a phone, says that the delegate took nothing, and runs on the processor; or,
with "pretend_gpu", prints what the real one prints where a GPU takes part of the graph.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from statistics import fmean as mean_of
from statistics import pstdev
from typing import Any

_COMMON = ("graph", "num_threads", "num_runs", "min_secs", "max_secs", "warmup_runs", "use_gpu")
_FLAGS = {
    "old": (*_COMMON, "use_nnapi", "use_xnnpack", "enable_op_profiling"),
    "new": (
        *_COMMON, "use_nnapi", "use_xnnpack", "enable_op_profiling", "op_profiling_output_mode",
        "op_profiling_output_file", "report_peak_memory_footprint", "require_full_delegation",
    ),
    "litert": (*_COMMON, "use_cpu", "use_npu", "use_profiler", "require_full_delegation"),
}  # fmt: skip


def program() -> str:
    """The text of the file that is pushed: what ADB's user would call the benchmark binary."""
    return f'#!/bin/sh\nexec "{sys.executable}" -W ignore "{Path(__file__).resolve()}" "$@"\n'


def main() -> int:
    settings = json.loads((Path(os.environ["STANDIN"]) / "tool.json").read_text())
    kind = settings["format"]
    prefix = "" if kind == "old" else "INFO: "

    def say(text: str, prefix: str = prefix) -> None:
        print(f"{prefix}{text}", flush=True)

    given = dict(word.removeprefix("--").partition("=")[::2] for word in sys.argv[1:])
    say("STARTING!")
    if "help" in given:
        print("usage: benchmark_model <flags>\nFlags:")
        for flag in _FLAGS[kind]:
            print(f"\t--{flag}=\tstring\toptional\tof the stand-in")
        return 1
    unknown = [
        f"--{name}={value}" for name, value in given.items() if name not in settings.get("flags", _FLAGS[kind])
    ]
    if unknown:
        say(f"Unconsumed cmdline flags: {' '.join(unknown)}", "WARN: " if prefix else "")
    fault = settings.get("fault")
    if fault:
        counter = Path(os.environ["STANDIN"]) / "runs"
        number = int(counter.read_text()) + 1 if counter.exists() else 1
        counter.write_text(str(number))
        if number < settings.get("fault_at", 1):
            fault = None
    if fault and not fault.startswith("late "):
        _fail(fault)
    say(f"Graph: [{given['graph']}]")
    _measure(given, kind, settings, say)
    sys.stdout.flush()
    if fault == "late exit":
        return 139
    if fault:
        print("ERROR: something of a driver went wrong at exit", flush=True)
        _fail(fault.removeprefix("late "))
    return 0


def _fail(fault: str) -> None:
    if fault == "hang":
        time.sleep(3600)
    if fault == "crash":
        print("INFO: Created TensorFlow Lite delegate for GPU.", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "garbage":
        print("INFO: count=oops avg=\x1b[31m\x00 Inference timings in us: Init: , First")
        sys.exit(0)
    if fault == "endless":
        while True:
            sys.stdout.write("spam " * 10_000 + "\n")
    raise AssertionError(fault)


def _measure(given: dict[str, str], kind: str, settings: dict[str, Any], say: Any) -> None:
    from vitconv.runtimes.worker import Worker  # here, so that --help need not wait for it

    worker = Worker()
    xnnpack = given.get("use_xnnpack") != "false"
    start = time.perf_counter()
    loaded = worker.load({"path": given["graph"], "threads": int(given["num_threads"]), "xnnpack": xnnpack})
    init_us = (time.perf_counter() - start) * 1e6
    share = loaded["delegated_nodes"], loaded["nodes"], loaded["partitions"]
    accelerator = next((name for name in ("gpu", "nnapi") if given.get(f"use_{name}") == "true"), None)
    if accelerator:
        name = {"gpu": "GPU", "nnapi": "NNAPI"}[accelerator]
        if settings.get("pretend_gpu"):
            say("Replacing 2 out of 7 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 3 partitions for "
                "the whole graph.", "VERBOSE: ")  # fmt: skip
            say(f"Explicitly applied {name} delegate, and the model graph will be partially executed by the "
                "delegate w/ 1 delegate kernels.")  # fmt: skip
        elif kind != "litert":
            say(
                f"Though {name} delegate is explicitly applied, the model graph will not be executed by "
                "the delegate."
            )
    if xnnpack and share[0]:
        replaced, total, partitions = share
        out_of = "" if kind == "old" else f" out of {total}"
        say(f"Replacing {replaced}{out_of} node(s) with delegate (TfLiteXNNPackDelegate) node, yielding "
            f"{partitions} partitions{'' if kind == 'old' else ' for the whole graph'}.",
            "" if kind == "old" else "VERBOSE: ")  # fmt: skip
    say(f"The input model file size (MB): {Path(given['graph']).stat().st_size / 1e6:.6g}")
    warm = [worker.time() * 1000 for _ in range(3)]
    say(_statistic(warm, kind))
    times = [worker.time() * 1000 for _ in range(int(given["num_runs"]))]
    say(_statistic(times, kind))
    mean = mean_of(times)
    memory = worker.memory() or 0.0
    if kind == "litert":
        print("INFO: [benchmark_litert_model.h:81]\n========== BENCHMARK RESULTS ==========")
        where = "[benchmark_litert_model.h:88] "
        say(f"{where}Model initialization: {init_us / 1000:.2f} ms")
        say(f"{where}Warmup (first):       {warm[0] / 1000:.2f} ms")
        say(f"{where}Warmup (avg):         {mean_of(warm) / 1000:.2f} ms ({len(warm)} runs)")
        say(f"{where}Inference (avg):      {mean / 1000:.2f} ms ({len(times)} runs)")
        say(f"{where}Inference (min):      {min(times) / 1000:.2f} ms")
        say(f"{where}Inference (max):      {max(times) / 1000:.2f} ms")
        say(f"{where}Inference (std):      {pstdev(times) / 1000:.2f}")
        say(f"{where}\nMemory Usage:")
        say(f"{where}Overall footprint:    {memory:.2f} MB")
        say(f"{where}Peak memory:          {memory + 50:.2f} MB")
        say(f"{where}======================================")
        return
    say(f"Inference timings in us: Init: {init_us:.0f}, First inference: {warm[0]:.0f}, "
        f"Warmup (avg): {mean_of(warm):.6g}, Inference (avg): {mean:.6g}")  # fmt: skip
    what = "Peak memory footprint" if kind == "old" else "Memory footprint delta from the start of the tool"
    say(f"{what} (MB): init={memory / 2:.6g} overall={memory:.6g}")
    if given.get("report_peak_memory_footprint") == "true":
        say(f"Overall peak memory footprint (MB) via periodic monitoring: {memory + 50:.6g}")
    if given.get("enable_op_profiling") == "true":
        Path(given["op_profiling_output_file"]).write_text(_profile(mean / 1000))


def _statistic(times: list[float], kind: str) -> str:
    """As the tool prints it: microseconds, the mean with six digits."""
    if len(times) == 1:
        return f"count=1 curr={times[0]:.6g}"
    text = (
        f"count={len(times)} first={times[0]:.0f} curr={times[-1]:.0f} min={min(times):.0f} max={max(times):.0f} "
        f"avg={mean_of(times):.6g} std={pstdev(times):.0f}"
    )
    if kind == "old":
        return text
    ordered = sorted(times)
    p5, median, p95 = (ordered[int(share * (len(times) - 1))] for share in (0.05, 0.5, 0.95))
    return f"{text} p5={p5:.0f} median={median:.0f} p95={p95:.0f}"


def _profile(mean_ms: float) -> str:
    """The file that profiling leaves; the split among three operators is made up."""
    header = "node type, first, avg_ms, %, cdf%, mem KB, times called, name"
    title = "============================== Run Order =============================="
    shares = (("Convolution (NHWC, F32) IGEMM", 0.7), ("Fully Connected (NC, F32) GEMM", 0.25), ("SOFTMAX", 0.05))
    rows = [
        f"{kind}, {mean_ms * share:.3f}, {mean_ms * share:.3f}, {share:.3%}, {share:.3%}, 0, 1, "
        f"{kind.replace(',', chr(9))}:{number}"
        for number, (kind, share) in enumerate(shares)
    ]
    initialization = (
        f"{title}\n{header}\nModifyGraphWithDelegate, 1.5, 1.5, 99%, 99%, 0, 1, ModifyGraphWithDelegate/0\n\n"
    )
    return (
        f"Profiling Info for Benchmark Initialization:\n{initialization}"
        f"Operator-wise Profiling Info for Regular Benchmark Runs:\n{title}\n{header}\n" + "\n".join(rows) + "\n\n"
        f"{title.replace('Run Order', 'Top by Computation Time')}\n{header}\n{rows[0]}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
