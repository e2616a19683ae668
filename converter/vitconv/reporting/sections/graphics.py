"""What is drawn inside a section: figures, bars, pictures."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Figure:
    svg: Markup
    caption: str


@dataclass(frozen=True)
class Bar:
    """Part of a line: it begins at `start` and is `share` long, both 0 to 1 of the whole line; what would stand
    outside is cut off. `kind` is its class in the style sheet, `label` what is read out in its place."""

    share: float
    label: str
    kind: str = ""
    start: float = 0.0

    @property
    def left(self) -> str:
        """In percent."""
        return f"{100 * _within(self.start):.2f}"

    @property
    def width(self) -> str:
        return f"{100 * min(_within(self.share), 1 - _within(self.start)):.2f}"


def png_address(data: bytes) -> str:
    """The address of a picture that is part of the page."""
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _within(value: float) -> float:
    return min(max(value, 0.0), 1.0)
