"""The document of `vitconv verify` → what a report works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitconv.evaluation import kept_results
from vitconv.evaluation.confidence import FileConfidence
from vitconv.evaluation.evidence import Answer, Disagreement
from vitconv.evaluation.kept_results import DisagreementDocument, FileDocument, Matrix
from vitconv.foundation.intervals import wilson_interval
from vitconv.reporting.findings import Reference, Verified


@dataclass(frozen=True)
class Verification:
    """results/verify.json: the reference, of each file its name, its SHA-256 and its figures, and what became of
    the confidence of those that have some."""

    checkpoint: str
    reference: Reference
    files: tuple[tuple[str, str, Verified], ...]
    confidence: tuple[FileConfidence, ...]


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
            chose_epoch=document.chose_epoch,
            labelled=document.labelled,
        ),
        tuple((file.path, file.sha256, _verified(file, examples, classes)) for file in document.files),
        document.confidence,
    )


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
        doubts=file.doubts,
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
