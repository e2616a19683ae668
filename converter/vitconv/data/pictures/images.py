"""How a picture becomes a model's input. Made once with the model; every later stage reads it from there."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Literal, cast, get_args

import msgspec
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from vitconv.data.pictures.picture_formats import PILLOW_NAMES, SHOWN
from vitconv.foundation import documents
from vitconv.foundation.errors import InputError

ResizeRule = Literal["stretch", "center_crop"]

# Far beyond any classifier's; a mistyped or damaged size must not ask for terabytes.
LARGEST_SIDE = 4096

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_AS_STORED = (0, 1)  # 0: cameras that do not know write it
# What it says on its logger of a damaged file is in the error, too; Python would print it.
logging.getLogger("PIL").addHandler(logging.NullHandler())
# Python's filters of warnings are one for all threads.
_FILTERING = Lock()


@dataclass(frozen=True)
class ImageSpec:
    """What a model takes: RGB pixels of `height` × `width`, uint8 or float 0–255; the caller does not
    normalise them.

    `resize` says how a picture of another size is brought to this size, always by Pillow's antialiased bilinear
    filter: "stretch" scales both sides and ignores the aspect; "center_crop" first cuts the largest centred
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

    def prepare(self, picture: Image.Image, note: Callable[[str], None] | None = None) -> np.ndarray:
        """A decoded picture of any size and mode → uint8 [height, width, 3].

        Turns it upright by its EXIF orientation; one that cannot be read leaves it as it is stored, and `note`
        is told so in words. Transparency is laid over black; of 16 bits the upper 8 count.
        Raises InputError for 32-bit values, which have no range that is known, and for damaged colours.
        """
        orientation, problem = _orientation(picture)
        if problem and note:
            note(f"it is taken as it is stored, because {problem}")
        if orientation in _TURNS:
            picture = picture.transpose(_TURNS[orientation])
        picture = _as_rgb(picture)
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
        # Rounding can make one of them less than 0 by a hair.
        left = max((width - self.width * scale) / 2, 0.0)
        top = max((height - self.height * scale) / 2, 0.0)
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
    """Decodes a picture file completely, if it is of a format that is read (see picture_formats.py). Raises
    InputError that names the file where that is impossible."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(f"{path} is a pipe or a device, not a picture file.")
        with path.open("rb") as stream:
            return _decode(stream)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"there is no picture {path}.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a picture. Name a file in it.") from None
    except UnidentifiedImageError:
        raise InputError(f"{path} is not a picture that can be read ({SHOWN}).") from None
    # Pillow's decoders meet a damaged file with many kinds of exception, not only OSError.
    except Exception as error:
        raise InputError(f"cannot read the picture {path}: {_words(error)}.") from error


def decode_picture(encoded: bytes) -> Image.Image:
    """Decodes the bytes of a picture file completely, as `open_picture` does. Raises InputError."""
    try:
        return _decode(io.BytesIO(encoded))
    except UnidentifiedImageError:
        raise InputError(f"these bytes are no picture that can be read ({SHOWN}).") from None
    except Exception as error:
        raise InputError(f"the picture cannot be decoded: {_words(error)}.") from error


def _decode(source: BinaryIO) -> Image.Image:
    with _FILTERING, warnings.catch_warnings():
        # Of metadata that it cannot read, which is what `prepare` makes a note of, and of large pictures.
        warnings.simplefilter("ignore")
        picture: Image.Image = Image.open(source, formats=PILLOW_NAMES)
        if picture.format == "TIFF":
            picture.load()  # which reads its metadata once more
    with picture:
        picture.load()
        return picture.copy()  # an Image rather than an ImageFile, and free of the open file


def _orientation(picture: Image.Image) -> tuple[int, str | None]:
    """The EXIF orientation, 1 to 8, and in words why it is 1 though the picture may say otherwise."""
    said: list[str] = []
    try:
        with _FILTERING, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            value = picture.getexif().get(ExifTags.Base.Orientation)
        said = [str(warning.message) for warning in caught]
    except Exception as error:  # of as many kinds as there are ways to damage it
        return 1, f"its EXIF data cannot be read ({_words(error)})"
    if isinstance(value, int) and (value in _TURNS or value in _AS_STORED):
        return max(value, 1), None
    if value is not None:
        return 1, f"its EXIF orientation is {_sentence(str(value))[:40]}, not 1 to 8"
    return 1, f"its EXIF data cannot be read ({_sentence(said[0])})" if said else None


def _as_rgb(picture: Image.Image) -> Image.Image:
    """RGB, of any mode; see ImageSpec.prepare."""
    if picture.mode in ("I", "F"):
        raise InputError(
            "a picture with 32-bit values cannot be used, because the range of its values is not known. "
            "Save it with 8 or 16 bits."
        )
    try:
        if picture.mode.startswith("I;16"):
            # Pillow's own conversion would cut off everything above 255, which is nearly all.
            picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
        return picture.convert("RGB")
    except Exception as error:  # a palette or a transparent colour that is none
        raise InputError(f"the picture's colours cannot be read: {_words(error)}.") from error


def _words(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return _sentence(text) or type(error).__name__


def _sentence(text: str) -> str:
    """What Pillow says, which may be bytes of the file, in one line without its full stop."""
    return re.sub(r"[^\x20-\x7e]+", " ", text).strip()[:200].rstrip(". ")
