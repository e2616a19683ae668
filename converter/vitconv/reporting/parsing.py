"""Documents of `vitconv verify` and `vitconv benchmark` → what a report works with, each value checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitconv.evaluation import kept_results
from vitconv.evaluation.evidence import Answer, Disagreement
from vitconv.evaluation.kept_results import DisagreementDocument, FileDocument, Matrix
from vitconv.foundation.errors import InputError
from vitconv.foundation.intervals import wilson_interval
from vitconv.reporting.findings import Reference, Timing, Verified


@dataclass(frozen=True)
class Verification:
    """results/verify.json: the reference, and of each file its name, its SHA-256 and its figures."""

    checkpoint: str
    reference: Reference
    files: tuple[tuple[str, str, Verified], ...]


def verification(folder: Path, classes: int) -> Verification | None:
    """What was kept of an export folder's verification; None where it was not verified. Raises InputError."""
    document = kept_results.read_verification(folder, classes)
    if document is None:
        return None
    reference, examples = document.reference, document.examples
    return Verification(
        document.checkpoint,
        Reference(
            dataset=document.dataset,
            split_digest=document.split_digest,
            examples=examples,
            top1=reference.top1,
            top1_interval=wilson_interval(reference.top1, examples),
            top5=reference.top5,
            loss=reference.loss,
            confusion=_confusion(reference.confusion, classes),
            limit=document.limit,
            max_drop=document.max_drop,
        ),
        tuple((file.path, file.sha256, _verified(file, examples, classes)) for file in document.files),
    )


@contextmanager
def of(path: Path, command: str) -> Iterator[None]:
    """Makes what is wrong inside the block an InputError with the file and the command that makes it anew."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{path} is not what this version keeps: {what}. Remove it, or run `{command}` again."
        ) from error


def benchmark(value: Mapping[str, Any]) -> tuple[str, str, list[tuple[str, str, Timing]]]:
    """Where it was, with which runtime, and of each timing the file's name and SHA-256."""
    place, runtime = str(value["machine"]), str(value["runtime"])
    timings = [(str(file["path"]), str(file["sha256"]), _timing(file, place)) for file in value["files"]]
    return place, runtime, timings


def _verified(file: FileDocument, examples: int, classes: int) -> Verified:
    return Verified(
        top1=file.top1,
        top1_interval=wilson_interval(file.top1, examples),
        top5=file.top5,
        top1_drop=file.top1_drop,
        agreement=file.agreement,
        max_abs_error=file.max_abs_error,
        psnr_db=file.psnr_db,
        kl=file.kl,
        passed=file.passed,
        reasons=file.reasons,
        layers=file.layers or (),
        confusion=_confusion(file.confusion, classes),
        disagreements=tuple(map(_disagreement, file.disagreements or ())),
    )


def _disagreement(value: DisagreementDocument) -> Disagreement:
    file = Answer(*value.file) if value.file else None
    return Disagreement(value.index, value.label, value.distance, Answer(*value.keras), file)


def _confusion(triples: Matrix | None, classes: int) -> np.ndarray | None:
    if triples is None:
        return None
    counts = np.zeros((classes, classes), np.int64)
    for right, given, images in triples:
        counts[right, given] += images
    return counts


def _timing(file: Mapping[str, Any], place: str) -> Timing:
    threads = _whole(file["threads"])
    delegated = file.get("delegated")
    median = _perhaps(file["p50_ms"])
    ms = median if median is not None else _number(file["mean_ms"])
    if not ms > 0:
        raise ValueError(f"{file['path']} has no time above 0")
    return Timing(
        place=place,
        # On this machine the runtime always uses XNNPACK.
        setting=f"{file.get('delegate', 'xnnpack')}, {threads} thread{'s' if threads > 1 else ''}",
        ms=ms,
        low_ms=_perhaps(file.get("p50_low_ms")),
        high_ms=_perhaps(file.get("p50_high_ms")),
        p95_ms=_perhaps(file["p95_ms"]),
        init_ms=_number(file["init_ms"]),
        memory_mb=_perhaps(file["peak_memory_mb"]),
        nodes=_count(file["nodes"]),
        delegated_nodes=_count(file["delegated_nodes"]),
        partitions=_count(file["partitions"]),
        delegated=None if delegated is None else str(delegated),
        quantiles_ms=tuple(_number(value) for value in file.get("quantiles_ms") or ()),
        runs=_whole(file["runs"]),
    )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _perhaps(value: Any) -> float | None:
    return None if value is None else _number(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is no whole number")
    return value


def _count(value: Any) -> int | None:
    return None if value is None else _whole(value)
