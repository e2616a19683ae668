"""What accelerators make of files, as text: `vitconv verify --runtime gpu` and `vitconv inspect`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vitconv.cli.tables.layout import table, wrapped
from vitconv.tflite.runtime_versions import ANDROID_RELEASE, release_name

if TYPE_CHECKING:
    from vitconv.evaluation.other_runtimes.gpu import GpuCheck, GpuVerification
    from vitconv.runtimes.npu import NpuAnswer
    from vitconv.tflite.gpu_support import GpuSupport

_RELEASE = release_name(ANDROID_RELEASE)
_WORDS = {"right": "passed", "partly": "passed in part", "refused": "refused", "failed": "FAILED"}


def gpu_table(result: GpuVerification, width: int) -> str:
    """Each file on the GPU, then in sentences what is refused and what is wrong."""
    rows = []
    for check in result.checks:
        rows.append((
            check.scheme,
            _WORDS[check.status],
            "" if check.operations is None else f"{check.gpu_operations}/{check.operations}",
            str(check.images) if check.images else "",
            "" if check.max_abs_error is None else f"{check.max_abs_error:.1e}",
            "" if check.max_steps is None else str(check.max_steps),
        ))  # fmt: skip
    header = ("scheme", "", "on the GPU", "images", "max error", "steps")
    lines = [wrapped(f"LiteRT's GPU accelerator on {result.adapter}, golden images", width, "    ")]
    lines.append(table(header, rows, width))
    for check in result.checks:
        lines += [wrapped(f"{check.path}: {sentence}.", width, "    ") for sentence in sentences(check)]
    return "\n".join(lines)


def support_lines(support: GpuSupport) -> Iterator[str]:
    """`vitconv inspect`: what the GPU delegate of TFLite 2.16.1 does with a file."""
    yield f"GPU delegate of TFLite {_RELEASE}: computes {support.taken} of {support.operations} ops"
    for gap in support.gaps:
        yield f"GPU delegate {gap.phrase}"


def npu_lines(answers: Iterable[NpuAnswer]) -> Iterator[str]:
    """`vitconv inspect --npu`: what makers' plugins would compile of a file."""
    for one in answers:
        parts = f"{one.parts} part{'' if one.parts == 1 else 's'}"
        said = one.problem or f"would compile {one.taken} of {one.operations} ops, in {parts}"
        yield f"NPU {one.vendor} {one.processor}: {said}"


def sentences(check: GpuCheck) -> Iterator[str]:
    """What is refused of a file, and what is wrong with it."""
    for one in check.refused:
        yield f"not for GPUs: {one}"
    yield from check.reasons
    if check.half and check.half.layers:
        half, most = check.half, check.half.layers[0]
        error = "no number" if half.max_abs_error is None else f"off by {half.max_abs_error:.1e}"
        largest = max(most.value, most.total)
        yield f"in 16 bits {error}; values and sums reach {largest:.3g} of 65504, in {most.layer}"
    if check.fault:
        fault = check.fault
        error = f"{fault.error:.0f} steps" if fault.unit == "steps" else f"{fault.error:.2g} {fault.unit}"
        where = f"number {fault.index}, {fault.operator} in {fault.layer}"
        yield f"the first wrong operation is {where}: off by {error}"
