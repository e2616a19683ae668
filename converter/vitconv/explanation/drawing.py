"""Maps over pictures, as PNG: warm where a part speaks for an answer, cold where it speaks against it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_PANEL = 240  # pixels, the longer side of each picture of a row
_GAP = 12
_LINE = 16  # pixels, of a caption
_FOR, _AGAINST = np.array((225, 60, 20)), np.array((30, 90, 220))
_STRONGEST = 0.85  # of a colour over the picture


@dataclass(frozen=True, eq=False)
class Panel:
    """A picture, or a map over it: float64 of any size, −1 to 1; with lines of words below."""

    caption: tuple[str, ...]
    values: NDArray[np.float64] | None = None


def overlaid(picture: NDArray[np.uint8], values: NDArray[np.float64]) -> Image.Image:
    """The picture in grey with the map over it, stretched to its size: 1 is `_FOR`, −1 `_AGAINST`, 0 nothing."""
    height, width = picture.shape[:2]
    coarse = Image.fromarray(np.clip(values, -1, 1).astype(np.float32))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR), np.float64)[..., np.newaxis]
    grey = np.asarray(Image.fromarray(picture).convert("L"), np.float64)[..., np.newaxis]
    colour = np.where(smooth > 0, _FOR, _AGAINST)
    strength = _STRONGEST * np.abs(smooth)
    mixed = grey * (1 - strength) + colour * strength
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def row_of_panels(picture: NDArray[np.uint8], panels: Sequence[Panel]) -> bytes:
    """One PNG file with the panels side by side, each as large as the others."""
    factor = _PANEL / max(picture.shape[:2])
    width, height = (max(1, round(factor * length)) for length in (picture.shape[1], picture.shape[0]))
    column = max(width, _PANEL)
    lines = max(len(panel.caption) for panel in panels)
    sheet = Image.new("RGB", (len(panels) * (column + _GAP) + _GAP, height + lines * _LINE + 3 * _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    enlarged = Image.Resampling.NEAREST if factor > 2 else Image.Resampling.BICUBIC
    large = np.asarray(Image.fromarray(picture).resize((width, height), enlarged))
    for number, panel in enumerate(panels):
        left = _GAP + number * (column + _GAP)
        drawn = Image.fromarray(large) if panel.values is None else overlaid(large, panel.values)
        sheet.paste(drawn, (left, _GAP))
        for line, text in enumerate(panel.caption):
            draw.text((left, height + 2 * _GAP + line * _LINE), _fitting(text, font, column), "black", font)
    return as_png(sheet)


def as_png(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return data.getvalue()


def scaled(values: NDArray[np.float64], largest: float) -> NDArray[np.float64]:
    """Divided by `largest`; nothing where that is 0."""
    return values / largest if largest > 0 else np.zeros_like(values)


def attention_scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A map of mean 1 → 0 for its least token to 1 for its greatest."""
    spare = values - values.min()
    return scaled(spare, float(spare.max()))


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """What the font has of it, cut off where it is too long."""
    shown = "".join(char if " " <= char <= "~" else "?" for char in text)
    if font.getlength(shown) <= width:
        return shown
    while shown and font.getlength(f"{shown}...") > width:
        shown = shown[:-1]
    return f"{shown}..."
