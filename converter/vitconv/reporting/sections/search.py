"""How the cheapest file within a limit was found."""

from __future__ import annotations

from dataclasses import dataclass

from vitconv.exporting.cheapest.limits import OUTCOMES, Search, Tried
from vitconv.reporting import charts
from vitconv.reporting.findings import Export
from vitconv.reporting.sections.graphics import Figure


@dataclass(frozen=True)
class TriedRow:
    """A file that was tried; empty where nothing was measured."""

    name: str
    taken: bool
    instructions: str
    megabytes: str
    error: str
    asked: str
    lost: str
    agreement: str
    outcome: str


@dataclass(frozen=True)
class Searched:
    """A search: what was taken and why, on which images, and every file, the cheapest first."""

    sentence: str
    images: str
    figure: Figure
    rows: tuple[TriedRow, ...]


def searches(export: Export) -> tuple[Searched, ...]:
    """Of the files that were found for a limit; empty where schemes were named."""
    return tuple(_searched(one) for one in export.searches)


def _searched(found: Search) -> Searched:
    return Searched(
        found.sentence,
        f"{found.images} images of {' and '.join(found.sources)}; none of them is held-out",
        Figure(
            charts.error_against_cost(found),
            "Error against cost of the files that were tried; hollow ones are not shown to keep the limit. The "
            "error is the mean square of that of log(p₁ / p₂), on the images that Keras is least sure of.",
        ),
        tuple(_row(one, found.chosen) for one in found.tried),
    )


def _row(one: Tried, chosen: str) -> TriedRow:
    outcome = "taken" if one.name == chosen else OUTCOMES[one.outcome]
    return TriedRow(
        name=one.name,
        taken=one.name == chosen,
        instructions=f"{one.instructions / 1e6:.1f}",
        megabytes=f"{one.bytes / 1e6:.2f}",
        error="" if one.error is None else f"{one.error:.4f}",
        asked=str(one.asked),
        lost=one.shown.lost if one.shown else "",
        agreement=one.shown.agreeing if one.shown else "",
        outcome=f"{outcome}: {one.why}" if one.why else outcome,
    )
