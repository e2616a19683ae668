"""Which of an export's files an app should run on the GPU, and which it must not.

Phones' GPUs compute in 16 bits, and widen whatever they get: a float16 file costs nothing beside a float32 one and
has half the size, and an integer file gains nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from vitconv.conversion.schemes import SCHEMES
from vitconv.tflite.gpu_support import GpuSupport, gpu_support
from vitconv.tflite.graph import Graph

_WEIGHTS = ("float16", "float32", "int8")  # the best for a GPU first
# Schemes; of no other a file is for GPUs.
BEST_FIRST = tuple(
    scheme.name
    for weights in _WEIGHTS
    for scheme in SCHEMES.values()
    if scheme.weights == weights and not scheme.integer
)


class GpuEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the GPU delegate of TFLite 2.16.1 does with a file: of its `operations` it computes `taken`. fit: all,
    and none wrongly. reasons: what is not so, a phrase for each kind of operator."""

    operations: int
    taken: int
    fit: bool
    reasons: tuple[str, ...]


def entry(graph: Graph) -> GpuEntry:
    """Of a finished file."""
    return of_support(gpu_support(graph))


def of_support(support: GpuSupport) -> GpuEntry:
    """The same of what is known already."""
    reasons = [f"the delegate {gap.phrase}" for gap in support.gaps]
    if not reasons and not support.taken:
        reasons.append("the delegate takes only graphs whose shapes are fixed")
    return GpuEntry(support.operations, support.taken, not reasons, tuple(reasons))


def choose(entries: Iterable[Mapping[str, Any]]) -> str | None:
    """The path of the file for GPUs, of a manifest's entries; None where none is fit."""
    fit = {one["scheme"]: str(one["path"]) for one in entries if one.get("gpu", {}).get("fit")}
    return next((fit[scheme] for scheme in BEST_FIRST if scheme in fit), None)
