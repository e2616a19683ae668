"""How the cheapest file within a limit was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vitconv.cli.tables.layout import table, wrapped


def search_table(search: Mapping[str, Any], width: int) -> str:
    """A manifest's `search`: the files that were tried, the cheapest first."""
    from vitconv.exporting.cheapest.limits import OUTCOMES, Search
    from vitconv.foundation import documents

    found = documents.convert(search, Search)
    rows = []
    for one in found.tried:
        lost, agreeing = (one.shown.lost, one.shown.agreeing) if one.shown else ("", "")
        error = "" if one.error is None else f"{one.error:.4f}"
        outcome = "taken" if one.name == found.chosen else OUTCOMES[one.outcome]
        rows.append((
            one.name, f"{one.instructions / 1e6:.1f}", f"{one.bytes / 1e6:.2f}", error, f"{one.asked}", lost,
            agreeing, outcome,
        ))  # fmt: skip
    header = (
        "file", "arm64 M (estimated)", "MB", "error (nats²)", "images asked", "points lost (95 %)",
        "agreement (95 %)", "",
    )  # fmt: skip
    words = f"Tried on {found.images} images of {' and '.join(found.sources)}, the cheapest first"
    why = [wrapped(f"{one.name}: {one.why}.", width, "    ") for one in found.tried if one.why]
    return "\n".join([wrapped(words, width, "    "), table(header, rows, width), *why])
