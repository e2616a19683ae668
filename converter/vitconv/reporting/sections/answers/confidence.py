"""What files' confidence is worth on held-out images."""

from __future__ import annotations

from dataclasses import dataclass

from vitconv.evaluation.confidence import FileConfidence
from vitconv.reporting.findings import Export


@dataclass(frozen=True)
class ConfidenceRow:
    """A file; `promises` are for each of `Confidence.rates`, empty where the file has no threshold for one."""

    scheme: str
    temperature: str
    before: str
    after: str
    promises: tuple[str, ...]


@dataclass(frozen=True)
class Confidence:
    """`rates`: the error rates that some file states. `fitted_here`: temperatures come from the same images."""

    rates: tuple[str, ...]
    fitted_here: bool
    rows: tuple[ConfidenceRow, ...]


def confidence(export: Export) -> Confidence | None:
    """None where no file has a temperature: it is not made unless asked for."""
    files = export.confidence
    if not files:
        return None
    rates = sorted({promise.error_rate for file in files for promise in file.promises})
    return Confidence(
        tuple(f"at {rate:.0%}" for rate in rates),
        any(file.fitted_here for file in files),
        tuple(_row(file, rates) for file in files),
    )


def _row(file: FileConfidence, rates: list[float]) -> ConfidenceRow:
    promises = {
        promise.error_rate: f"{promise.answered:.0%}, "
        + ("none" if promise.wrong is None else f"{promise.wrong:.1%} wrong")
        for promise in file.promises
    }
    return ConfidenceRow(
        scheme=file.scheme,
        temperature=f"{file.temperature:.3f}",
        before=f"{file.error_before:.2%}",
        after=f"{file.error_after:.2%}",
        promises=tuple(promises.get(rate, "") for rate in rates),
    )
