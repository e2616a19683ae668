"""How a picture becomes a model's input. Made once with the model; every later stage reads it from there."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import msgspec
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vitconv.foundation import documents
from vitconv.foundation.errors import InputError

ResizeRule = Literal["stretch", "center_crop"]

# Far beyond any classifier's; a mistyped or damaged size must not ask for terabytes.
LARGEST_SIDE = 4096


@dataclass(frozen=True)
class ImageSpec:
    """What a model takes: RGB pixels of `height` × `width`, uint8 or float 0–255, never normalised outside.

    `resize` says how a picture of any other size gets there, always by Pillow's antialiased bilinear filter:
    "stretch" scales both sides and ignores the aspect; "center_crop" first cuts the largest centred
    rectangle that has the model's aspect.
    """

    height: int
    width: int
    channels: int = 3
    resize: ResizeRule = "stretch"

    def __post_init__(self) -> None:
        if not (1 <= self.height <= LARGEST_SIDE and 1 <= self.width <= LARGEST_SIDE):
            raise InputError(
                f"an image must have sides of 1 to {LARGEST_SIDE} pixels, not {self.height}×{self.width}."
            )
        if self.channels != 3:
            raise InputError(f"only RGB images (3 channels) are supported, not {self.channels} channels.")
        if self.resize not in get_args(ResizeRule):
            raise InputError(f"resize must be one of {', '.join(get_args(ResizeRule))}, not {self.resize!r}.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)"""
        return (self.height, self.width, self.channels)

    def to_json(self) -> dict[str, Any]:
        """As stored in cards and manifests; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> ImageSpec:
        """Raises InputError on a missing or unknown key, or a value of the wrong type."""
        return documents.convert(value, ImageDocument).spec

    def prepare(self, picture: Image.Image) -> np.ndarray:
        """A decoded picture of any size and mode → uint8 [height, width, 3].

        Turns it upright by its EXIF orientation; transparency is laid over black; of 16 bits the upper 8 count.
        Raises InputError for 32-bit values, which have no range that is known.
        """
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I;16"):
            # Pillow's own conversion would cut off everything above 255, which is nearly all.
            picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        elif picture.mode in ("I", "F"):
            raise InputError("a picture of 32-bit values has no range that is known. Save it with 8 or 16 bits.")
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
        picture = picture.convert("RGB")
        if picture.size == (self.width, self.height):
            return np.asarray(picture, np.uint8)
        box = self._source_box(*picture.size)
        resized = picture.resize((self.width, self.height), Image.Resampling.BILINEAR, box=box)
        return np.asarray(resized, np.uint8)

    def _source_box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of a width × height picture that is scaled to the model's size: left, top, right, bottom."""
        if self.resize == "stretch":
            return (0.0, 0.0, float(width), float(height))
        scale = min(width / self.width, height / self.height)
        left = (width - self.width * scale) / 2
        top = (height - self.height * scale) / 2
        return (left, top, width - left, height - top)


class ImageDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An ImageSpec in a JSON document."""

    height: int
    width: int
    channels: int
    resize: str

    def __post_init__(self) -> None:
        try:
            self.spec  # noqa: B018  an image that no model takes is refused where it is read
        except InputError as error:
            raise ValueError(str(error)) from None

    @property
    def spec(self) -> ImageSpec:
        """Raises InputError for an image that no model takes."""
        return ImageSpec(self.height, self.width, self.channels, cast(ResizeRule, self.resize))


def parse_size(text: str) -> int | tuple[int, int]:
    """Pixels a side ("96" → 96), or height and width ("96x160" → (96, 160)). Raises InputError."""
    found = re.fullmatch(r"(\d{1,6})(?:\s*[x×X]\s*(\d{1,6}))?", text.strip(), re.ASCII)
    if not found:
        raise InputError(f"an image size is pixels a side (256) or height x width (96x160), not {text!r}.")
    return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))


def open_picture(path: Path) -> Image.Image:
    """Decodes a picture file completely. Raises InputError that names the file where that is impossible."""
    try:
        picture: Image.Image
        with Image.open(path) as picture:
            picture.load()
            return picture.copy()  # an Image rather than an ImageFile, and free of the open file
    except FileNotFoundError:
        raise InputError(f"there is no picture {path}.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a picture. Name a file in it.") from None
    except UnidentifiedImageError:
        raise InputError(f"{path} is not a picture that can be read (JPEG, PNG, WebP, BMP, GIF).") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read the picture {path}: {error}.") from error
