"""Does Android's own runtime give what Keras and LiteRT give? Every file of an export, on the golden images.

Each file runs on each ABI that this machine can run, with XNNPACK and without. What is right:

    float32           within 1e-4 of Keras's probabilities
    float16           no further from Keras than LiteRT is, and 1e-3
    dynamic           no further from LiteRT's than twice what LiteRT's are from each other, and 1e-3
    integer outputs   the same, and 2 steps; as much in probabilities, where an integer file gives float ones

"From each other" is with XNNPACK and without: both compute what the file says, but some products are rounded
differently. After sixty layers that is several steps of a probability near a half. The Android release has other
kernels again, and leaves more of the graph to TFLite's own. Twice, because the largest difference over a few
images is one draw from a distribution with a long tail: up to 1.6 times was measured between draws.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitconv.conversion import schemes
from vitconv.evaluation.other_runtimes.closeness import (
    FLOAT32_ERROR,
    FLOAT_ERROR,
    MOST_STEPS,
    largest_error,
    largest_steps,
    litert_answers,
    too_far,
)
from vitconv.exporting import golden
from vitconv.exporting.manifest import Manifest
from vitconv.foundation.errors import MissingToolError, ModelFileError
from vitconv.foundation.progress import Progress
from vitconv.quantization.output_steps import STEP
from vitconv.runtimes.android.libraries import ABIS, folder
from vitconv.runtimes.android.runner import AndroidRunner


@dataclass(frozen=True)
class AndroidCheck:
    """One file on one ABI, with XNNPACK or without.

    max_abs_error: of a probability, from Keras's. max_steps: of an integer output, from LiteRT's; None for a
    float output. nodes, delegated_nodes, partitions: as in AndroidRunner. All are None where the file did not run.
    """

    path: str
    scheme: str
    abi: str
    xnnpack: bool
    max_abs_error: float | None
    max_steps: int | None
    nodes: int | None
    delegated_nodes: int | None
    partitions: int | None
    passed: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class AndroidVerification:
    """All of them; `skipped` names each ABI that this machine cannot run, and says what to install."""

    checks: tuple[AndroidCheck, ...]
    skipped: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether every file stayed within its limit wherever it ran."""
        return all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The keys that the verification's document gets."""
        checks = [{**asdict(check), "reasons": list(check.reasons)} for check in self.checks]
        return {"android": checks, "android_skipped": dict(self.skipped)}


def runnable_abis() -> tuple[tuple[str, ...], dict[str, str]]:
    """Which ABIs run here, made ready, and why the others do not.

    Raises MissingToolError where not even x86_64 does.
    """
    skipped = {}
    for abi in ABIS:
        try:
            folder(abi)
        except MissingToolError as error:
            if abi == "x86_64":
                raise
            skipped[abi] = str(error)
    return tuple(abi for abi in ABIS if abi not in skipped), skipped


def verify_android(
    export: Path, document: Manifest, abis: tuple[str, ...], progress: Progress | None = None
) -> tuple[AndroidCheck, ...]:
    """Runs every file of the export folder's manifest. A file that Android's runtime cannot run has failed.

    Raises InputError where the golden images cannot be read, ModelFileError where LiteRT cannot run a file.
    """
    images, expected = golden.read(export)
    checks: list[AndroidCheck] = []
    for entry in document.files:
        path, scheme = export / entry.path, schemes.find(entry.scheme)
        litert = litert_answers(path, images)
        probabilities, spread, float_spread = litert.probabilities, litert.spread_steps, litert.spread
        for xnnpack in (True, False):
            for abi in abis:
                if progress:
                    progress("verifying on Android's runtime", len(checks), 2 * len(abis) * len(document.files))
                known = (entry.path, scheme.name, abi, xnnpack)
                try:
                    with AndroidRunner(path, abi=abi, xnnpack=xnnpack) as android:
                        actual, answers = android.run(images), android.probabilities(images)
                except ModelFileError as error:
                    checks.append(AndroidCheck(*known, None, None, None, None, None, False, (str(error),)))
                    continue
                steps = largest_steps(actual, litert.outputs[xnnpack])
                error_here = largest_error(answers, expected)
                from_litert = largest_error(answers, probabilities[xnnpack])
                if scheme.on_the_fly:
                    off, allowed = from_litert, 2 * float_spread + FLOAT_ERROR
                elif scheme.integer:  # with float probabilities; of others, steps are looked at
                    off, allowed = from_litert, 2 * float_spread + MOST_STEPS * STEP
                elif scheme.exact:
                    off, allowed = error_here, FLOAT32_ERROR
                else:
                    off, allowed = error_here, largest_error(probabilities[xnnpack], expected) + FLOAT_ERROR
                reasons = tuple(too_far(error_here, off, allowed, steps, spread))
                parts = (android.nodes, android.delegated_nodes, android.partitions)
                finite = error_here if np.isfinite(error_here) else None
                checks.append(AndroidCheck(*known, finite, steps, *parts, not reasons, reasons))
    if progress:
        progress("verifying on Android's runtime", len(checks), len(checks))
    return tuple(checks)
