"""What to ship, on top of the page."""

from __future__ import annotations

from dataclasses import dataclass

from vitconv.reporting.advice.recommendation import Recommendation, broken_layers, culprit_sentence
from vitconv.reporting.findings import Export

_MARKS = {"ship": "Recommended", "none": "Stop", "unknown": "Not measured yet"}


@dataclass(frozen=True)
class Remark:
    """`grave`: it names the layer that breaks a file."""

    text: str
    grave: bool


@dataclass(frozen=True)
class Verdict:
    """`kind` is the section's class in the style sheet."""

    kind: str
    mark: str
    sentence: str
    reason: str
    remarks: tuple[Remark, ...]
    gpu: str


def verdict(export: Export, found: Recommendation) -> Verdict:
    culprits = {culprit_sentence(file) for file in export.files if broken_layers(file)}
    remarks = tuple(Remark(warning, warning in culprits) for warning in found.warnings)
    gpu = f"{found.gpu.sentence} {found.gpu.reason}" if found.gpu else ""
    return Verdict(found.verdict, _MARKS[found.verdict], found.sentence, found.reason, remarks, gpu)
