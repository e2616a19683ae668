"""The formats of pictures that are read, wherever vitconv reads one: in data folders, in data sets, by `run`.

Pillow knows some forty, and goes by a file's content, not its name. Only these are decoded: some of the others
start a program (Ghostscript for EPS), are barely tested, or lead to other files.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import features


@dataclass(frozen=True)
class PictureFormat:
    """`pillow` is Pillow's name, `shown` what messages call it. A file with one of the suffixes is such a picture;
    so is one of another name that has one of the `beginnings`, (place, bytes), if the format is told by that.
    `feature` is what Pillow must have been built with."""

    pillow: str
    shown: str
    suffixes: tuple[str, ...]
    beginnings: tuple[tuple[int, bytes], ...] = ()
    feature: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether Pillow can decode it on this machine."""
        return self.feature is None or bool(features.check(self.feature))


ALL = (
    PictureFormat("JPEG", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".jif"), ((0, b"\xff\xd8\xff"),)),
    PictureFormat("PNG", "PNG", (".png",), ((0, b"\x89PNG\r\n\x1a\n"),)),
    PictureFormat("WEBP", "WebP", (".webp",), ((8, b"WEBPVP8"),), "webp"),
    PictureFormat("BMP", "BMP", (".bmp", ".dib")),  # it begins with two letters, as many texts may
    PictureFormat("GIF", "GIF", (".gif",), ((0, b"GIF87a"), (0, b"GIF89a"))),
    PictureFormat("TIFF", "TIFF", (".tif", ".tiff"), ((0, b"II*\0"), (0, b"MM\0*"))),
    PictureFormat("AVIF", "AVIF", (".avif",), ((4, b"ftypavif"), (4, b"ftypavis")), "avif"),
)
READ = tuple(one for one in ALL if one.is_here)

PILLOW_NAMES = tuple(one.pillow for one in READ)
SHOWN = ", ".join(one.shown for one in READ)
SUFFIXES = frozenset(suffix for one in READ for suffix in one.suffixes)

# Pictures to a person's eye; a user wants to know that they were left out.
OTHER_SUFFIXES = frozenset(suffix for one in ALL for suffix in one.suffixes) - SUFFIXES | frozenset(
    {
        ".heic", ".heif", ".jp2", ".j2k", ".jxl", ".svg", ".eps", ".ico", ".psd", ".tga", ".ppm", ".pgm", ".pbm",
        ".exr", ".hdr", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".raw", ".dcm", ".pdf",
        ".mp4", ".mov", ".avi",
    }
)  # fmt: skip

BEGINNING = 16  # bytes that `begins_as_picture` looks at


def begins_as_picture(start: bytes) -> bool:
    """Whether a file whose first bytes these are is a picture that is read, whatever it is called."""
    return any(start.startswith(mark, place) for one in READ for place, mark in one.beginnings)
