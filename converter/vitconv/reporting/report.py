"""`vitconv report`: an export folder → one file that says which of its files to ship."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vitconv.foundation.configs import check_types
from vitconv.foundation.disk.files import writable_directory, write_text
from vitconv.foundation.disk.writing import writing
from vitconv.foundation.errors import InputError, UnknownNameError
from vitconv.reporting.advice.recommendation import Recommendation, broken_layers, obstacle, recommend
from vitconv.reporting.findings import Export
from vitconv.reporting.markdown import markdown
from vitconv.reporting.missing import missing
from vitconv.reporting.page import TITLE, page
from vitconv.reporting.reading import read_export
from vitconv.reporting.two_exports import Comparison, compare

_WAIT_S = 30.0  # for another report, which is written in a moment
_START = 4096  # bytes of a page, in which its title is

Format = Literal["html", "markdown"]
FORMATS: tuple[Format, ...] = ("html", "markdown")


@dataclass(frozen=True)
class ReportConfig:
    """`out` is the file to write: None means FOLDER/report.html, and none for Markdown. `compare` is another
    export folder, which `folder` is put beside."""

    folder: Path
    out: Path | None = None
    format: Format = "html"
    compare: Path | None = None

    def __post_init__(self) -> None:
        check_types(self)
        if self.format not in FORMATS:
            raise UnknownNameError("format", self.format, FORMATS)


@dataclass(frozen=True, eq=False)
class Report:
    """A finished report: its text, and the file that has it, where one was written."""

    export: Export
    recommendation: Recommendation
    text: str
    path: Path | None
    comparison: Comparison | None = None

    def to_json(self) -> dict[str, Any]:
        files = []
        for file in self.export.files:
            verified = file.verified
            files.append({
                "path": file.path,
                "scheme": file.scheme,
                "bytes": file.bytes,
                "sha256": file.sha256,
                "obstacle": obstacle(file),
                "passed": verified.passed if verified else None,
                "verdict": verified.verdict if verified else None,
                "top1": verified.top1 if verified else None,
                "agreement": verified.agreement if verified else None,
                "desktop_ms": file.desktop.ms if file.desktop else None,
                "phone_ms": file.phone.ms if file.phone else None,
                "arm64_instructions": (
                    {counts.cpu: counts.instructions for counts in file.android.arm64} if file.android else None
                ),
                "runtime_needed": file.inspection.runtime_needed if file.inspection else None,
                "broken_layers": [loss.layer.layer for loss in broken_layers(file)],
            })  # fmt: skip
        return {
            "report": str(self.path) if self.path else None,
            "recommendation": self.recommendation.to_json(),
            "files": files,
            "missing": missing(self.export),
            "notes": list(self.export.notes),
            **({"comparison": self.comparison.to_json()} if self.comparison else {}),
        }


def report(config: ReportConfig) -> Report:
    """Reads what is in the folder, and writes the report where the config says.

    Raises InputError for what is no export folder or holds a broken result, and where somebody else's report.html
    is in the folder; OutputError for a place that cannot be written. Nothing is left there then.
    """
    export = read_export(config.folder)
    found = recommend(export)
    comparison = other = None
    if config.compare is not None:
        against = read_export(config.compare)
        comparison, other = compare(export, against), recommend(against)
    text = (page if config.format == "html" else markdown)(export, found, comparison, other)
    path = config.out
    if path is None and config.format == "html":
        path = config.folder / "report.html"
        _check_place(path)
    if path is not None:
        with writing(writable_directory(path.parent) / path.name, _WAIT_S):
            write_text(path, text)
    return Report(export, found, text, path, comparison)


def _check_place(path: Path) -> None:
    """Raises InputError where somebody else's file is: nobody has said that it is to be replaced."""
    if path.is_file():
        with path.open("rb") as stream:
            start = stream.read(_START)
        if start and f"{TITLE}</title>".encode() not in start:
            raise InputError(
                f"{path} is no report of vitconv's, and would be replaced. Give another file with --out."
            )
