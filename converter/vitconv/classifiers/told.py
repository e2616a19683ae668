"""What a file of somebody else's does not say, and its owner has to: pixels, labels, picture size, code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitconv.foundation.errors import InputError
from vitconv.foundation.text import decoded

PIXELS = "0..255, 0..1, -1..1, imagenet, or MEAN,STD of pixels from 0 to 1 (one number each, or three)"

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_MOST_LABELS = 1 << 20  # bytes of a labels' file


@dataclass(frozen=True)
class Pixels:
    """What a model takes for a pixel p from 0 to 255: (p / 255 − mean) / std, by channel or for all. `text` is
    what the user wrote."""

    text: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> Pixels:
        """Raises InputError for anything but PIXELS."""
        named = {
            "0..255": ((0.0,), (1 / 255,)),
            "0..1": ((0.0,), (1.0,)),
            "-1..1": ((0.5,), (0.5,)),
            "imagenet": _IMAGENET,
        }
        if text in named:
            return cls(text, *named[text])
        try:
            numbers = [float(number) for number in text.split(",")]
        except ValueError:
            numbers = []
        half = len(numbers) // 2
        mean, std = tuple(numbers[:half]), tuple(numbers[half:])
        if len(numbers) not in (2, 6):
            raise InputError(f"--pixels must be {PIXELS}, not {text!r}.")
        if not all(0 <= value <= 1 for value in mean) or not all(0 < value <= 1 for value in std):
            raise InputError(
                f"--pixels {text}: mean and standard deviation are of pixels from 0 to 1, so neither is above 1. "
                "Divide them by 255."
            )
        return cls(text, mean, std)

    @property
    def scale_and_shift(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """p · scale + shift, each with a number, or one a channel."""
        scale = tuple(1 / (255 * deviation) for deviation in self.std)
        shift = tuple(-mean / deviation for mean, deviation in zip(self.mean, self.std, strict=True))
        return scale, shift


class PixelsNotToldError(InputError):
    """A model that does not say what it takes for a pixel, of which nobody else says it."""


RAW = Pixels.parse("0..255")
CANDIDATES = tuple(map(Pixels.parse, ("0..255", "0..1", "-1..1", "imagenet")))


@dataclass(frozen=True)
class Told:
    """What the user says of a file; None where nothing is said. `labels` in the order of the outputs. `image_size`
    is height and width. `code` is a Python file with the model's own classes, which is executed."""

    pixels: Pixels | None = None
    labels: tuple[str, ...] | None = None
    image_size: tuple[int, int] | None = None
    code: Path | None = None

    @property
    def given(self) -> list[str]:
        """The options that were used."""
        names = {
            "--pixels": self.pixels,
            "--labels": self.labels,
            "--image-size": self.image_size,
            "--code": self.code,
        }
        return [name for name, value in names.items() if value is not None]


@dataclass(frozen=True)
class Card:
    """What is kept of a foreign model, in the manifest's `told`: with the manifest's labels and image it is all
    that opens the file again. `softmax`: whether one was appended, for the file gives logits."""

    pixels: str
    softmax: bool
    code: Mapping[str, str] | None = field(default=None)

    def to_json(self) -> dict[str, Any]:
        return {"pixels": self.pixels, "softmax": self.softmax, "code": dict(self.code) if self.code else None}


def code_entry(code: Path) -> dict[str, str]:
    """How a card names the file with a model's classes."""
    return {"file": str(code), "sha256": hashlib.sha256(code.read_bytes()).hexdigest()}


def read_labels(path: Path) -> tuple[str, ...]:
    """The class names in a text file, one a line. Raises InputError where it is none."""
    try:
        if path.stat().st_size > _MOST_LABELS or not path.is_file():
            raise InputError(f"{path} is no list of labels: give a text file with a class a line.")
        lines = decoded(path.read_bytes()).splitlines()
    except FileNotFoundError:
        raise InputError(f"there is no file {path} with labels. Give a text file with a class a line.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the labels in {path}: {error}. Give a text file with a class a line."
        ) from error
    while lines and not lines[-1].strip():
        lines.pop()
    labels = tuple(line.strip() for line in lines)
    for number, label in enumerate(labels):
        if not label:
            raise InputError(
                f"line {number + 1} of {path} is empty. Give a label a line, in the order of the outputs."
            )
        if labels.index(label) != number:
            raise InputError(
                f"{path} has the label {label!r} twice, in lines {labels.index(label) + 1} and {number + 1}. "
                "Give each "
                "class a name of its own."
            )
    if len(labels) < 2:
        raise InputError(f"{path} has {len(labels)} labels, and a classifier has at least 2.")
    return labels
