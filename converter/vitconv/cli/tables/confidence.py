"""What an export fits of confidence, and what verify finds of it on held-out images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vitconv.cli.tables.layout import table, wrapped

if TYPE_CHECKING:
    from vitconv.evaluation.confidence import FileConfidence


def fitted_table(files: Iterable[Mapping[str, Any]], width: int) -> str:
    """On validation images, of a manifest's files that have a temperature."""
    rows = []
    for file in files:
        found = file["confidence"]
        promised = [one for one in found["thresholds"] if one["least"] is not None]
        least, answered = (promised[0]["error_rate"], promised[0]["answered"]) if promised else (None, None)
        rows.append((
            file["scheme"], str(found["images"]), f"{found['temperature']:.3f}", f"{found['error_before']:.2%}",
            f"{found['error_after']:.2%}", _rate(least), _rate(answered),
        ))  # fmt: skip
    header = (
        "scheme", "validation images", "temperature", "calibration error", "with it", "lowest error rate",
        "answered",
    )  # fmt: skip
    return table(header, rows, width)


def held_out_table(files: Sequence[FileConfidence], width: int) -> str:
    """On held-out images."""
    rates = sorted({promise.error_rate for file in files for promise in file.promises})
    rows = []
    for file in files:
        by_rate = {promise.error_rate: promise for promise in file.promises}
        kept = (
            f"{by_rate[rate].answered:.0%}, {_rate(by_rate[rate].wrong, 1)}" if rate in by_rate else ""
            for rate in rates
        )
        rows.append(
            (file.scheme, f"{file.temperature:.3f}", f"{file.error_before:.2%}", f"{file.error_after:.2%}", *kept)
        )
    promised = (f"answered, wrong at {rate:.0%}" for rate in rates)
    header = ("scheme", "temperature", "calibration error", "with it", *promised)
    words = "Confidence on these images"
    if any(file.fitted_here for file in files):
        words += ", on which the temperature was fitted, so new ones will be a little worse"
    return f"{wrapped(words, width, '    ')}\n{table(header, rows, width)}"


def _rate(share: float | None, digits: int = 0) -> str:
    return "none" if share is None else f"{share:.{digits}%}"
