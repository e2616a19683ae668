"""The names of the ways to divide pictures that come in no splits. Loads nothing, for the command line."""

from __future__ import annotations

from vitconv.foundation.errors import UnknownNameError

THREE_WAY, TWO_WAY, ARTICLE = "three-way", "two-way", "article"
CUTS = (THREE_WAY, TWO_WAY, ARTICLE)


def check_cut(cut: str | None) -> None:
    """Raises UnknownNameError for a cut that there isn't; None leaves the choice to the data set."""
    if cut is not None and cut not in CUTS:
        raise UnknownNameError("cut", cut, CUTS)
