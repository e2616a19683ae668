"""The two programs called benchmark_model: telling which one a file is, and the flags that it takes.

TensorFlow Lite's knows --use_xnnpack and --use_nnapi, LiteRT's --use_cpu and --use_npu; each answers a flag of the
other with a warning and runs something else than was asked. So a flag is given only where the tool's own --help
names it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vitconv.foundation.errors import DeviceRunError, InputError, UnknownNameError
from vitconv.phone.device.endings import last_words, not_started

# Delegate → its flags for each tool; a word that a tool has no way to say is missing.
DELEGATES: Mapping[str, str] = {
    "xnnpack": "the processor, with XNNPACK",
    "cpu": "the processor, TensorFlow Lite's own kernels only",
    "gpu": "the GPU delegate",
    "nnapi": "Android's NNAPI",
    "npu": "LiteRT's NPU accelerator",
}
_FLAGS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "tflite": {
        "xnnpack": ("--use_xnnpack=true",),
        "cpu": ("--use_xnnpack=false",),
        "gpu": ("--use_gpu=true",),
        "nnapi": ("--use_nnapi=true",),
    },
    "litert": {
        "xnnpack": ("--use_cpu=true",),
        "gpu": ("--use_gpu=true",),
        "npu": ("--use_npu=true",),
    },
}
_NAMES = {"tflite": "TensorFlow Lite's benchmark_model", "litert": "LiteRT's benchmark_model"}
_MASK = re.compile(r"[0-9a-fA-F]{1,16}")


@dataclass(frozen=True)
class Tool:
    """A benchmark_model on a phone. `kind` is "tflite" or "litert", `flags` what its --help names."""

    kind: str
    flags: frozenset[str]

    @property
    def name(self) -> str:
        return _NAMES[self.kind]


def check_delegate(name: str) -> str:
    """The name, or UnknownNameError."""
    if name not in DELEGATES:
        raise UnknownNameError("delegate", name, DELEGATES)
    return name


def check_mask(mask: str) -> str:
    """A processor mask as `taskset` takes it, hexadecimal digits; InputError for anything else."""
    if not _MASK.fullmatch(mask) or int(mask, 16) == 0:
        raise InputError(f"--cpu-mask must be hexadecimal, such as f0 for cores 4 to 7, or big, not {mask!r}.")
    return mask.lower()


def identify(help_text: str, status: int = 0) -> Tool:
    """Which tool answered --help with this text, and with this exit status, which differs among builds.

    Raises DeviceRunError where it is neither, or did not start at all.
    """
    flags = frozenset(re.findall(r"--([a-z0-9_]{2,60})\b", help_text))
    if {"graph", "num_runs"} <= flags:
        if "use_npu" in flags:
            return Tool("litert", flags)
        return Tool("tflite", flags)
    if problem := not_started(status, help_text):
        raise DeviceRunError(f"the benchmark binary {problem}{last_words(help_text)}")
    last = [line.strip() for line in help_text.splitlines() if line.strip()][-1:]
    said = f" It printed: {last[0][:200]}" if last else " It printed nothing."
    raise DeviceRunError(
        f"the benchmark binary is not benchmark_model: its --help does not list --graph and --num_runs.{said}"
    )


def arguments(tool: Tool, graph: str, threads: int, runs: int, max_seconds: int, delegate: str) -> list[str]:
    """The command line after the program's name. Raises InputError where the tool cannot do it."""
    chosen = _FLAGS[tool.kind].get(delegate)
    if chosen is None:
        raise InputError(
            f"{tool.name} has no delegate {delegate!r}, {DELEGATES[delegate]}. It has: "
            f"{', '.join(_FLAGS[tool.kind])}."
        )
    words = [
        f"--graph={graph}", f"--num_threads={threads}", f"--num_runs={runs}", "--min_secs=0",
        f"--max_secs={max_seconds}", *chosen,
        # Older builds cannot, and LiteRT's prints it unasked where it knows.
        *(["--report_peak_memory_footprint=true"] if "report_peak_memory_footprint" in tool.flags else []),
    ]  # fmt: skip
    return _known(tool, words)


def profile_arguments(tool: Tool, output: str) -> list[str]:
    """What makes a run write each operator's time to the file `output`, as comma-separated values."""
    return _known(
        tool,
        ["--enable_op_profiling=true", "--op_profiling_output_mode=csv", f"--op_profiling_output_file={output}"],
    )


def _known(tool: Tool, words: list[str]) -> list[str]:
    for word in words:
        flag = word.removeprefix("--").partition("=")[0]
        if flag not in tool.flags:
            raise InputError(
                f"this build of {tool.name} has no --{flag}, which is needed here. Give a newer one with "
                "--benchmark-binary."
            )
    return words
