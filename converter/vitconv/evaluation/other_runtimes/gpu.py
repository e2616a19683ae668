"""Does a GPU give what Keras and LiteRT give? Every file of an export on LiteRT's GPU accelerator, golden images.

What is right, in the accelerator's 32 bits:

    float32           within 1e-4 of Keras's probabilities
    float16           no further from Keras than LiteRT is, and 1e-3
    dynamic           no further from Keras than twice what LiteRT is, and 1e-3: a GPU rounds weights only, while
                      LiteRT rounds activations, too, so that either may be the nearer one
    integer outputs   no further from LiteRT's than twice what LiteRT's are from each other, and 2 steps

and no message of the accelerator that a shader or a command is invalid, whatever the numbers. A file that holds
what GPUs are known to compute wrongly (`tflite.gpu_rules`) is refused without running it. GPUs of phones compute
in 16 bits: what becomes of a float file there is simulated, see `half_precision`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import numpy as np

from vitconv.conversion import schemes
from vitconv.conversion.schemes import Scheme
from vitconv.evaluation.other_runtimes.closeness import (
    FLOAT32_ERROR,
    FLOAT_ERROR,
    MOST_STEPS,
    LiteRtAnswers,
    largest_error,
    largest_steps,
    litert_answers,
    too_far,
)
from vitconv.evaluation.other_runtimes.gpu_fault import Fault, first_fault
from vitconv.evaluation.other_runtimes.half_precision import HalfPrecision, half_precision
from vitconv.exporting import golden
from vitconv.exporting.manifest import Manifest
from vitconv.foundation.errors import ModelFileError
from vitconv.foundation.progress import Progress
from vitconv.quantization.output_steps import STEP
from vitconv.runtimes.gpu.drivers import Driver
from vitconv.runtimes.gpu.runner import GpuRunner, RefusedByGpuError
from vitconv.tflite.gpu_support import Gap, gpu_support
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import operations

Status = Literal["right", "partly", "refused", "failed"]

# A software Vulkan on two cores takes seconds for one picture of 256×256. A file that is wrong shows it in any.
SECONDS = 60.0  # for a whole folder
_FAULT_SECONDS = 60.0  # for finding the operation that is wrong, in a file that is


@dataclass(frozen=True)
class GpuCheck:
    """One file on the GPU.

    status: "right"; "partly", right with the CPU computing what the GPU refuses; "refused", by the accelerator
        alone or by `tflite.gpu_rules`; or "failed", wrong, crashed or hung.
    gpu_operations, operations: how many operations the GPU computes, of how many; None where it computes none.
    images: how many golden images there was time for.
    max_abs_error: of a probability, from Keras's. max_steps: of an integer output, from LiteRT's; None for a float
        output. Both are None where no image was run.
    refused: the kinds of operators that are refused; the accelerator names kinds only, so that it may take some of
        them. fault: in a file that is wrong, the first operation that is.
    half: what becomes of it in 16 bits; None for files that are not looked at, see `_is_for_half`.
    """

    path: str
    scheme: str
    status: Status
    gpu_operations: int | None = None
    operations: int | None = None
    images: int = 0
    max_abs_error: float | None = None
    max_steps: int | None = None
    refused: tuple[Gap, ...] = ()
    fault: Fault | None = None
    half: HalfPrecision | None = None
    reasons: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no GPU gives a wrong answer unnoticed."""
        return self.status != "failed"

    @property
    def fully_accelerated(self) -> bool:
        """Whether the GPU computes all of it."""
        return self.operations is not None and self.gpu_operations == self.operations


@dataclass(frozen=True)
class GpuVerification:
    """All of them. `adapter` is what computed: a graphics card, or a software in its place."""

    adapter: str
    checks: tuple[GpuCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether no file is wrong."""
        return all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The keys that the verification's document gets."""
        checks = [
            {
                **asdict(check),
                "fully_accelerated": check.fully_accelerated,
                "passed": check.passed,
                "refused": [asdict(one) for one in check.refused],
                "reasons": list(check.reasons),
            }
            for check in self.checks
        ]
        return {"gpu": checks, "gpu_adapter": self.adapter}


def verify_gpu(
    export: Path,
    document: Manifest,
    driver: Driver,
    progress: Progress | None = None,
    seconds: float = SECONDS,
) -> GpuVerification:
    """Runs every file of the export folder's manifest on as many golden images as there is time for, at least one.

    A file that the accelerator takes and computes wrongly, or over which it crashes or hangs, has failed.
    Raises InputError where the golden images cannot be read, ModelFileError where LiteRT cannot run a file.
    """
    images, expected = golden.read(export)
    deadline = monotonic() + seconds
    graphs = {entry.path: Graph.read(export / entry.path) for entry in document.files}
    wrong = {path: gpu_support(graph).wrong for path, graph in graphs.items()}
    to_run = [path for path in graphs if not wrong[path]]
    checks: list[GpuCheck] = []
    for entry in document.files:
        check = GpuCheck(entry.path, entry.scheme, "refused", refused=wrong[entry.path])
        if not check.refused:
            if progress:
                progress("verifying on the GPU", to_run.index(entry.path), len(to_run))
            if _is_for_half(entry.scheme, document):
                check = replace(check, half=half_precision(graphs[entry.path], images, expected))
            share = max(0.0, deadline - monotonic()) / (len(to_run) - to_run.index(entry.path))
            until = monotonic() + share
            check = _check(check, export / entry.path, graphs[entry.path], images, expected, driver, until)
        checks.append(check)
    if progress:
        progress("verifying on the GPU", len(to_run), len(to_run))
    return GpuVerification(driver.adapter, tuple(checks))


def _check(
    check: GpuCheck,
    path: Path,
    graph: Graph,
    images: np.ndarray,
    expected: np.ndarray,
    driver: Driver,
    deadline: float,
) -> GpuCheck:
    scheme = schemes.find(check.scheme)
    try:
        try:
            ran = _run(path, driver, False, images, deadline)
        except RefusedByGpuError as error:
            check = replace(check, refused=_located(graph, error.operators))
            ran = _run(path, driver, True, images, deadline)
    except RefusedByGpuError as error:  # not even with the CPU beside it
        return replace(check, reasons=() if check.refused else (str(error),))
    except ModelFileError as error:
        return replace(check, status="failed", reasons=(str(error),))
    count, whole = len(ran.answers), len(graph.model.subgraphs[0].operators)
    litert = litert_answers(path, images[:count])
    error_here = largest_error(ran.answers, expected[:count])
    steps = largest_steps(ran.outputs, litert.outputs[True])
    reasons = [f"the accelerator says: {error}" for error in ran.invalid]
    reasons += _too_far(scheme, ran.answers, expected[:count], litert, steps)
    in_half = check.half.reasons if check.half else ()
    on_gpu, of_all = ran.operations or (whole, whole)
    return replace(
        check,
        status="failed" if reasons or in_half else "partly" if check.refused else "right",
        gpu_operations=on_gpu,
        operations=of_all,
        images=count,
        max_abs_error=error_here if np.isfinite(error_here) else None,
        max_steps=steps,
        fault=_first_fault(graph, images[0], driver, check.refused) if reasons else None,
        reasons=(*reasons, *in_half),
    )


def _is_for_half(name: str, document: Manifest) -> bool:
    """Whether a file is looked at in 16 bits: one of floats. float32's numbers become float16's there, so that one
    of the two will do. Of a dynamic file this processor rounds activations to 8 bits, which a GPU does not."""
    scheme = schemes.find(name)
    floats = [entry.scheme for entry in document.files if not schemes.find(entry.scheme).integer]
    return not scheme.integer and not scheme.on_the_fly and not (scheme.exact and "float16" in floats)


def _located(graph: Graph, operators: dict[str, str]) -> tuple[Gap, ...]:
    layers: dict[str, list[str]] = {}
    for operation in operations(graph):
        layers.setdefault(operation.operator, []).append(operation.layer)
    return tuple(
        Gap(name, why, layers[name][0], len(layers[name])) for name, why in operators.items() if name in layers
    )


def _first_fault(graph: Graph, image: np.ndarray, driver: Driver, refused: tuple[Gap, ...]) -> Fault | None:
    left_out = frozenset(one.operator for one in refused)
    return first_fault(graph, image, driver, left_out, _FAULT_SECONDS)


@dataclass(frozen=True, eq=False)
class _Ran:
    """What came out for the first N images: outputs as stored and probabilities, both [N, classes]; and what the
    runner says: the errors in its log, and how many operations the GPU computed, of how many."""

    outputs: np.ndarray
    answers: np.ndarray
    invalid: tuple[str, ...]
    operations: tuple[int, int] | None


def _run(path: Path, driver: Driver, with_cpu: bool, images: np.ndarray, deadline: float) -> _Ran:
    with GpuRunner(path, driver, with_cpu=with_cpu) as runner:
        outputs = []
        for image in images:
            outputs.append(runner.run(image[np.newaxis]))
            if monotonic() > deadline:
                break
        stored = np.concatenate(outputs)
        return _Ran(stored, runner.dequantized(stored), runner.validation_errors, runner.operations)


def _too_far(
    scheme: Scheme, answers: np.ndarray, expected: np.ndarray, litert: LiteRtAnswers, steps: int | None
) -> Iterator[str]:
    error = largest_error(answers, expected)
    of_litert = largest_error(litert.probabilities[True], expected)
    off, allowed = error, of_litert + FLOAT_ERROR
    if scheme.exact:
        allowed = FLOAT32_ERROR
    elif scheme.on_the_fly:
        allowed = 2 * of_litert + FLOAT_ERROR
    elif scheme.integer:  # with float probabilities; of others, steps are looked at
        off = largest_error(answers, litert.probabilities[True])
        allowed = 2 * litert.spread + MOST_STEPS * STEP
    return too_far(error, off, allowed, steps, litert.spread_steps)
