"""`vitconv report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from vitconv.cli.tables.layout import wrapped
from vitconv.cli.terminal.console import print_result
from vitconv.cli.terminal.options import PATH, common_options

if TYPE_CHECKING:
    from vitconv.reporting.report import Format, Report


@click.command()
@click.argument("folder", type=PATH)
@click.option("--out", type=PATH, help="The file to write. Default: FOLDER/report.html.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "markdown"]),
    default="html",
    show_default=True,
    help="html: one page that needs nothing else. markdown: for a pull request, to standard output without --out.",
)
@click.option(
    "--compare", type=PATH, metavar="FOLDER", help="Show another export folder side by side with this one."
)
@common_options
def report(folder: Path, out: Path | None, form: str, compare: Path | None, as_json: bool) -> None:
    """Says which file of an export FOLDER to ship, and why. It reads what `verify` and `benchmark` saved there."""
    from vitconv.reporting.report import ReportConfig
    from vitconv.reporting.report import report as run

    result = run(ReportConfig(folder, out, cast("Format", form), compare))
    print_result(as_json, result.to_json(), lambda width: report_text(result, width))


def report_text(result: Report, width: int) -> str:
    """`vitconv report`: the recommendation and where the report is; or the report itself, if it is in no file."""
    if result.path is None:
        return result.text.removesuffix("\n")
    found = result.recommendation
    lines = [wrapped(f"{found.sentence} {found.reason}", width)]
    if found.gpu:
        lines.append(wrapped(f"{found.gpu.sentence} {found.gpu.reason}", width))
    lines += [wrapped(f"- {warning}", width, "  ") for warning in found.warnings]
    return "\n".join([*lines, str(result.path)])
