"""Tables that scripts make, between two marks in a document."""

from __future__ import annotations


def replaced(text: str, begin: str, end: str, tables: str) -> str:
    """The text with `tables` between the marks, each of which stands in it once."""
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{tables}\n{end}{after}"
