"""The table of files: one row each, Keras's first."""

from __future__ import annotations

from dataclasses import dataclass

from vitconv.evaluation.parity import VERDICTS
from vitconv.reporting.advice.recommendation import Recommendation, obstacle
from vitconv.reporting.findings import Export, ModelFile, Reference, Timing, Verified


@dataclass(frozen=True)
class Top1:
    """In percent; `interval` holds the true value with 95 % confidence."""

    value: str
    interval: str


@dataclass(frozen=True)
class Check:
    """`kind` is its class in the style sheet; `why` says more where the file cannot be used."""

    text: str
    kind: str
    why: str = ""


@dataclass(frozen=True)
class Instructions:
    """Millions for one image on arm64's newest processor that was counted, and divided by float32's; `others` says
    the same of the other processors."""

    millions: str
    relative: str
    others: str


@dataclass(frozen=True)
class FileRow:
    """Empty texts stand for what was not measured. `best`: this is the file to ship."""

    scheme: str
    check: Check
    top1: Top1 | None
    lost: str
    agreement: str
    desktop_ms: str
    phone_ms: str
    phone_setting: str
    arm64: Instructions | None
    megabytes: str
    peak_megabytes: str
    runtime_needed: str
    best: bool


@dataclass(frozen=True)
class FileTable:
    """`keras` is the reference's accuracy; `note` says how all was measured. reasons: (scheme, why it failed,
    or what these images cannot tell). counted: whether instructions were."""

    keras: Top1 | None
    counted: bool
    rows: tuple[FileRow, ...]
    note: str
    reasons: tuple[tuple[str, str], ...]


def file_table(export: Export, found: Recommendation) -> FileTable:
    reasons = [
        (file.scheme, f"{'; '.join(file.verified.reasons)}." if file.verified.reasons else _doubted(file.verified))
        for file in export.files
        if file.verified and file.verified.verdict != "passed"
    ]
    reference = export.reference
    return FileTable(
        keras=_top1(reference) if reference else None,
        counted=any(file.android for file in export.files),
        rows=tuple(_row(export, file, best=file.path == found.file) for file in export.files),
        note=_measured_on(export, reference) if reference else "",
        reasons=tuple(reasons),
    )


def _row(export: Export, file: ModelFile, best: bool) -> FileRow:
    verified, desktop, phone = file.verified, file.desktop, file.phone
    return FileRow(
        scheme=file.scheme,
        check=_check(file),
        top1=_top1(verified) if verified else None,
        lost=f"{verified.top1_drop:+.2f}" if verified else "",
        agreement=f"{verified.agreement:.2%}" if verified else "",
        desktop_ms=f"{desktop.ms:.2f}" if desktop else "",
        phone_ms=f"{phone.ms:.2f}" if phone else "",
        phone_setting=phone.setting if phone else "",
        arm64=_instructions(export, file),
        megabytes=f"{file.bytes / 1e6:.2f}" if file.bytes else "",
        peak_megabytes=_memory(desktop, phone),
        runtime_needed=file.inspection.runtime_needed if file.inspection else "",
        best=best,
    )


def _instructions(export: Export, file: ModelFile) -> Instructions | None:
    costs = export.arm64(file)
    if not costs:
        return None
    texts = [(f"{one.instructions / 1e6:.1f}", f"{one.relative:.2f}" if one.relative else "") for one in costs]
    others = [
        f"{one.cpu} {' · '.join(filter(None, pair))}" for one, pair in zip(costs[1:], texts[1:], strict=True)
    ]
    return Instructions(*texts[0], "; ".join(others))


def _check(file: ModelFile) -> Check:
    blocked = obstacle(file)
    if blocked:
        return Check("cannot be used", "failed", blocked)
    if file.verified is None:
        return Check("not verified", "")
    return Check(VERDICTS[file.verified.verdict], file.verified.verdict)


def _doubted(verified: Verified) -> str:
    return f"these images cannot tell whether it {'; nor whether it '.join(verified.doubts)}."


def _top1(measured: Reference | Verified) -> Top1:
    low, high = measured.top1_interval
    return Top1(f"{measured.top1:.2%}", f"{100 * low:.1f}–{100 * high:.1f}")


def _memory(desktop: Timing | None, phone: Timing | None) -> str:
    known = [timing.memory_mb for timing in (desktop, phone) if timing and timing.memory_mb is not None]
    return " / ".join(f"{value:.1f}" for value in known)


def _measured_on(export: Export, reference: Reference) -> str:
    times = f" Times: {export.machine}; {export.runtime}." if export.machine else ""
    phones = "".join(f" Phone: {place}." for place in export.phones)
    counted = (
        f" arm64: million instructions for one image and, behind the dot, ÷ float32; {export.android}."
        if (export.android)
        else ""
    )
    return (
        f"Accuracy on {reference.images}. The small figures are the 95 % confidence interval (Wilson). Lost: "
        f"points of top-1 against Keras.{times}{phones}{counted}"
    )
