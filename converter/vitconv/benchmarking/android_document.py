"""results/android.json, as far as a report reads it: what `vitconv benchmark --runtime android` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from vitconv.benchmarking.android_benchmark import Delegation, X86Timing
from vitconv.foundation import documents
from vitconv.foundation.documents import Sha256
from vitconv.runtimes.android.instruction_counts import CPUS

Count = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=10**15)]


class OperatorSum(msgspec.Struct, frozen=True):
    """All operators of one name: how many there are, and their instructions together."""

    count: Count
    # The interpreter's is what the others leave, and may be a little below 0.
    instructions: Annotated[int, msgspec.Meta(ge=-(10**15), le=10**15)]


class CpuCounts(msgspec.Struct, frozen=True):
    """One inference on one processor, as `InstructionCounts`; by_operator is None where that was not asked."""

    cpu: str
    instructions: Positive
    by_kind: dict[str, Count]
    by_operator: dict[str, OperatorSum] | None = None


class FileCost(msgspec.Struct, frozen=True):
    """One file, as `AndroidFile`."""

    path: str
    sha256: Sha256
    litert: Delegation
    android: Delegation
    arm64: tuple[CpuCounts, ...]
    x86_64: X86Timing

    def on(self, cpu: str) -> CpuCounts | None:
        """Its counts on a processor, None where they were not asked."""
        return next((counts for counts in self.arm64 if counts.cpu == cpu), None)


class AndroidDocument(msgspec.Struct, frozen=True):
    """The files of one export folder; `machine` is the one that x86_64's times are of."""

    machine: str
    runtime: str
    files: tuple[FileCost, ...]


def read(path: Path, remedy: str) -> AndroidDocument:
    """Raises InputError, which ends with `remedy`, for a document that is none; FileNotFoundError."""
    return documents.read(
        path, lambda value: documents.convert(value, AndroidDocument), "result of Android's runtime", remedy
    )


def common_cpus(costs: list[FileCost]) -> list[str]:
    """The processors on which all of them were counted, the newest first."""
    return [cpu for cpu in CPUS if costs and all(cost.on(cpu) for cost in costs)]
