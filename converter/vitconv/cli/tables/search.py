"""How the cheapest file within a limit was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vitconv.cli.tables.layout import table, wrapped


def search_table(search: Mapping[str, Any], width: int) -> str:
    """A manifest's `search`: the files that were tried, the cheapest first."""
    from vitconv.exporting.cheapest.limits import OUTCOMES

    rows = []
    for one in search["tried"]:
        shown = one["shown"] or {}
        drop, same = shown.get("top1_drop"), shown.get("agreement")
        error = "" if one["error"] is None else f"{one['error']:.4f}"
        rows.append((
            one["name"], f"{one['instructions'] / 1e6:.1f}", f"{one['bytes'] / 1e6:.2f}", error,
            f"{one['asked']}", "" if drop is None else f"{drop:+.2f} ({_range(shown['top1_drop_interval'], 1)})",
            "" if same is None else f"{same:.2%} ({_range(shown['agreement_interval'], 100)})",
            "taken" if one["name"] == search["chosen"] else OUTCOMES[one["outcome"]],
        ))  # fmt: skip
    header = (
        "file", "arm64 M (estimated)", "MB", "error (nats²)", "images asked", "points lost (95 %)",
        "agreement (95 %)", "",
    )  # fmt: skip
    words = f"Tried on {search['images']} images of {' and '.join(search['sources'])}, the cheapest first"
    why = [wrapped(f"{one['name']}: {one['why']}.", width, "    ") for one in search["tried"] if one["why"]]
    return "\n".join([wrapped(words, width, "    "), table(header, rows, width), *why])


def _range(interval: list[float], times: float) -> str:
    low, high = (times * end for end in interval)
    return f"{low:.2f} to {high:.2f}"
