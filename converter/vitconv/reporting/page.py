"""The report as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

from importlib.resources import files

from vitconv.reporting import details, sections
from vitconv.reporting.findings import Export
from vitconv.reporting.missing import missing
from vitconv.reporting.parts import Html, html, join, paragraph, section, table, tag
from vitconv.reporting.recommendation import Recommendation
from vitconv.reporting.two_exports import Comparison, rows

STYLE = files("vitconv.reporting") / "page.css"


def page(
    export: Export,
    found: Recommendation,
    comparison: Comparison | None = None,
    other: Recommendation | None = None,
) -> str:
    """`other` is the recommendation of the export that is compared with."""
    gaps = missing(export)
    parts = [
        sections.recommendation(export, found),
        _compared(comparison, other) if comparison and other else Html(),
        sections.files(export, found),
        sections.latency(export, gaps),
        sections.layers(export, gaps),
        details.classes(export, gaps),
        details.disagreements(export, gaps),
        details.calibration(export, gaps),
        details.training(export, gaps),
        details.graphs(export),
        details.provenance(export),
    ]
    title = f"{export.title}: which file to ship"
    header = tag("header", join([tag("h1", export.title), paragraph(_subtitle(export), "note")]))
    body = join([header, tag("main", join(parts, "\n"))], "\n")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{html(title)}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _subtitle(export: Export) -> str:
    image = export.manifest["image"]
    return (
        f"{len(export.files)} files in {export.name}, {image.get('height')}×{image.get('width')} pixels, "
        f"{len(export.labels)} classes"
    )


def _compared(comparison: Comparison, other: Recommendation) -> Html:
    names = [
        paragraph(join([tag("strong", letter), " ", name]))
        for letter, name in (("A", comparison.a), ("B", comparison.b))
    ]
    differences = join(tag("li", sentence) for sentence in comparison.differences)
    same = paragraph("Model, data, versions and machine are the same.", "note")
    shown = rows(comparison)
    body = [(f"{scheme}: {name}", a, b, change) for scheme, name, a, b, change in shown]
    return section(
        "comparison",
        "Compared",
        *names,
        paragraph(f"B: {other.sentence} {other.reason}", "note"),
        tag("ul", differences, "warnings") if differences else same,
        table(("", "A", "B", "B − A"), body, "compact"),
    )
