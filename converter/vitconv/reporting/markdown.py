"""The report as Markdown, short enough for a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vitconv.conversion import schemes
from vitconv.evaluation.layer_errors import losses
from vitconv.evaluation.parity import VERDICTS
from vitconv.foundation.text import visible
from vitconv.reporting.advice.recommendation import Recommendation, culprit_sentence, obstacle
from vitconv.reporting.findings import Export, ModelFile
from vitconv.reporting.missing import missing
from vitconv.reporting.two_exports import Comparison, rows

_LISTED_LAYERS = 5
_SPECIAL = "\\`*_[]<>|~"  # begin something in GitHub's Markdown, wherever they stand


def markdown(
    export: Export,
    found: Recommendation,
    comparison: Comparison | None = None,
    other: Recommendation | None = None,
) -> str:
    """`other` is the recommendation of the export that is compared with."""
    lines = [f"## {plain(export.title)}", "", f"**{sentence(found.sentence)}** {sentence(found.reason)}", ""]
    if found.gpu:
        lines += [f"{sentence(found.gpu.sentence)} {sentence(found.gpu.reason)}", ""]
    lines += [f"- {sentence(warning)}" for warning in found.warnings]
    lines += ["", *_files(export, found), ""]
    if comparison and other:
        lines += [*_compared(comparison, other), ""]
    for file in export.files:
        if file.verified and file.verified.layers and not schemes.find(file.scheme).exact:
            lines += [f"{sentence(culprit_sentence(file) or '')}", ""]
    lines += _layers(export)
    lines += [line for search in export.searches for line in (plain(search.sentence), "")]
    if export.robustness is not None:
        lines += [f"- {plain(file.sentence)}" for file in export.robustness.files] + [""]
    if export.liveness is not None:
        lines += [plain(export.liveness.sentence()), ""]
    gaps = missing(export)
    if gaps:
        lines += ["<details><summary>Not measured</summary>", ""]
        lines += [f"- {name}: {sentence(how)}" for name, how in gaps.items()]
        lines += ["", "</details>", ""]
    lines += ["<details><summary>Digests and versions</summary>", "", *_provenance(export), "", "</details>"]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """A name as itself, whatever it holds."""
    return "".join(f"\\{char}" if char in _SPECIAL else char for char in visible(text)).replace("&", "&amp;")


def sentence(text: str) -> str:
    """The same, but with `commands` in backquotes as they are."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return plain(text)
    return "".join(f"`{_command(piece)}`" if number % 2 else plain(piece) for number, piece in enumerate(pieces))


def _command(text: str) -> str:
    return visible(text).replace("|", "\\|")


def _table(header: Sequence[str], body: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in body:
        yield f"| {' | '.join(row)} |"


def _files(export: Export, found: Recommendation) -> Iterator[str]:
    counted = any(file.android for file in export.files)
    arm64 = ("arm64 M (÷ float32)",) if counted else ()
    header = ("file", "check", "top-1 (95 %)", "lost", "agrees", "desktop ms", "phone ms", *arm64, "MB", "TFLite")
    body: list[Sequence[str]] = []
    reference = export.reference
    if reference:
        low, high = reference.top1_interval
        body.append(("Keras", "", f"{reference.top1:.2%} ({low:.1%} to {high:.1%})", *[""] * (len(header) - 3)))
    for file in export.files:
        verified, mark = file.verified, "**" if file.path == found.file else ""
        check = "cannot be used" if obstacle(file) else "not verified"
        if verified and not obstacle(file):
            check = VERDICTS[verified.verdict] if verified.passed else "**failed**"
        low, high = verified.top1_interval if verified else (0.0, 0.0)
        body.append((
            f"{mark}{file.scheme}{mark}",
            check,
            f"{verified.top1:.2%} ({low:.1%} to {high:.1%})" if verified else "",
            f"{verified.top1_drop:+.2f}" if verified else "",
            f"{verified.agreement:.2%}" if verified else "",
            f"{file.desktop.ms:.2f}" if file.desktop else "",
            f"{file.phone.ms:.2f} ({plain(file.phone.setting)})" if file.phone else "",
            *([_instructions(export, file)] if counted else []),
            f"{file.bytes / 1e6:.2f}" if file.bytes else "",
            file.inspection.runtime_needed if file.inspection else "",
        ))  # fmt: skip
    yield from _table(header, body)
    if reference:
        yield ""
        yield f"{plain(reference.images)}. {plain(export.machine or 'Not timed')}."
    for file in export.files:
        if file.verified and file.verified.reasons:
            yield f"- {file.scheme}: {plain('; '.join(file.verified.reasons))}"
        elif file.verified and file.verified.doubts:
            doubts = plain("; nor whether it ".join(file.verified.doubts))
            yield f"- {file.scheme}: these images cannot tell whether it {doubts}"


def _instructions(export: Export, file: ModelFile) -> str:
    """On the newest processor that was counted."""
    costs = export.arm64(file)
    if not costs:
        return ""
    share = f" ({costs[0].relative:.2f})" if costs[0].relative else ""
    return f"{costs[0].instructions / 1e6:.1f}{share}"


def _compared(comparison: Comparison, other: Recommendation) -> Iterator[str]:
    yield f"### A: {plain(comparison.a)}, B: {plain(comparison.b)}"
    yield ""
    yield f"B: {sentence(other.sentence)} {sentence(other.reason)}"
    yield ""
    for difference in comparison.differences:
        yield f"- {plain(difference)}"
    yield ""
    yield from _table(
        ("", "", "A", "B", "B − A"), (tuple(plain(cell) for cell in row) for row in rows(comparison))
    )


def _layers(export: Export) -> Iterator[str]:
    for file in export.files:
        if not (file.verified and file.verified.layers) or not schemes.find(file.scheme).integer:
            continue
        yield f"<details><summary>{file.scheme}: the layers that lose most</summary>"
        yield ""
        body = (
            (
                plain(loss.layer.layer),
                plain(loss.layer.operator),
                f"{loss.before_db:.1f}",
                f"{loss.layer.snr_db:.1f}",
            )
            for loss in losses(file.verified.layers)[:_LISTED_LAYERS]
        )
        yield from _table(("layer", "operator", "in dB", "out dB"), body)
        yield ""
        yield "</details>"
        yield ""


def _provenance(export: Export) -> Iterator[str]:
    yield from _table(
        ("file", "bytes", "SHA-256"), ((plain(file.path), str(file.bytes), file.sha256) for file in export.files)
    )
    versions = export.manifest["versions"]
    listed = ", ".join(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, dict) else ""
    yield ""
    yield f"Checkpoint {plain(str(export.manifest['checkpoint']['sha256']))}. Exported by {plain(listed)}."
