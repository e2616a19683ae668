"""How pictures of every kind become a model's pixels."""

from __future__ import annotations

import io
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vitconv.data.pictures.images import LARGEST_SIDE, ImageSpec, decode_picture, open_picture
from vitconv.data.pictures.picture_formats import PILLOW_NAMES
from vitconv.foundation.errors import InputError

STRETCH = ImageSpec(12, 20)
CROP = ImageSpec(12, 20, resize="center_crop")

# Resizing in doubles instead of Pillow's fixed-point numbers, rounded once instead of twice.
ROUNDING = 1.01


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def triangles(size: int, start: float, stop: float, length: int) -> np.ndarray:
    """An antialiased bilinear filter: weights float64 [size, length] that resize `start`–`stop` of a line."""
    scale = (stop - start) / size
    reach = max(scale, 1.0)
    centres = start + (np.arange(size) + 0.5) * scale
    distance = np.abs(np.arange(length) + 0.5 - centres[:, None]) / reach
    weights = np.maximum(0.0, 1.0 - distance)
    return weights / weights.sum(axis=1, keepdims=True)


def resized(pixels: np.ndarray, spec: ImageSpec, box: tuple[float, float, float, float]) -> np.ndarray:
    left, top, right, bottom = box
    down = triangles(spec.height, top, bottom, pixels.shape[0])
    across = triangles(spec.width, left, right, pixels.shape[1])
    return np.einsum("yh,hwc,xw->yxc", down, pixels.astype(np.float64), across)


@pytest.mark.parametrize(("height", "width"), [(50, 70), (70, 50), (12, 21), (5, 4), (100, 20), (12, 200)])
def test_stretch_scales_both_sides_whatever_the_aspect(height: int, width: int) -> None:
    given_picture = picture(height, width)
    got = STRETCH.prepare(given_picture)
    assert got.shape == (12, 20, 3)
    assert got.dtype == np.uint8
    wanted = resized(np.asarray(given_picture), STRETCH, (0, 0, width, height))
    assert np.abs(got - wanted).max() < ROUNDING


@pytest.mark.parametrize(
    ("height", "width", "cut"),
    [
        (60, 140, (20, 0, 120, 60)),
        (140, 100, (0, 40, 100, 100)),
        (30, 50, (0, 0, 50, 30)),
        (31, 50, (0, 0.5, 50, 30.5)),
        (6, 20, (5, 0, 15, 6)),
    ],
)
def test_center_crop_first_cuts_the_largest_part_of_the_model_s_aspect(
    height: int, width: int, cut: tuple[float, float, float, float]
) -> None:
    given_picture = picture(height, width)
    got = CROP.prepare(given_picture)
    assert np.abs(got - resized(np.asarray(given_picture), CROP, cut)).max() < ROUNDING


def test_the_part_that_is_cut_out_lies_inside_every_picture() -> None:
    # Pillow refuses a part that begins at -3e-14, as rounding had it for 225 pixels and a model of 224.
    assert ImageSpec(224, 224, resize="center_crop").prepare(picture(300, 225)).shape == (224, 224, 3)
    for side in (7, 96, 120, 224, 256, 280, 320):
        spec = ImageSpec(side, side, resize="center_crop")
        for width in range(1, 1200):
            left, top, right, bottom = spec._source_box(width, 1200)
            assert min(left, top) >= 0, (side, width)
            assert right <= width, (side, width)
            assert bottom <= 1200, (side, width)


def test_a_picture_of_the_model_s_size_keeps_its_pixels() -> None:
    given_picture = picture(12, 20)
    for spec in (STRETCH, CROP):
        np.testing.assert_array_equal(spec.prepare(given_picture), np.asarray(given_picture))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_that_was_taken_sideways_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    upright = np.asarray(picture(12, 20))
    # How the camera stored it: what the EXIF orientation of that number undoes.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(STRETCH.prepare(open_picture(tmp_path / "photo.png")), upright)


GREY = np.random.default_rng(1).integers(0, 256, (12, 20), np.uint8)
AS_RGB = np.repeat(GREY[..., None], 3, axis=2)


def stored(tmp_path: Path, image: Image.Image, suffix: str, **options: Any) -> np.ndarray:
    image.save(tmp_path / f"picture{suffix}", **options)
    return STRETCH.prepare(open_picture(tmp_path / f"picture{suffix}"))


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    np.testing.assert_array_equal(stored(tmp_path, Image.fromarray(GREY), ".png"), AS_RGB)


def test_black_and_white_is_0_and_255(tmp_path: Path) -> None:
    image = Image.fromarray(GREY > 127)
    assert image.mode == "1"
    np.testing.assert_array_equal(stored(tmp_path, image, ".png"), np.where(AS_RGB > 127, 255, 0))


def test_16_bit_grey_keeps_its_upper_8_bits(tmp_path: Path) -> None:
    deep = GREY.astype(np.uint16) << 8 | GREY[::-1]
    for suffix in (".png", ".tif"):
        np.testing.assert_array_equal(stored(tmp_path, Image.fromarray(deep), suffix), AS_RGB)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_32_bit_values_are_refused_as_their_range_is_unknown(kind: type) -> None:
    with pytest.raises(InputError, match="32-bit values"):
        STRETCH.prepare(Image.fromarray(GREY.astype(kind)))


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    image = Image.fromarray(GREY % 4)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7])
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
    np.testing.assert_array_equal(stored(tmp_path, image, ".png"), colours[GREY % 4])
    np.testing.assert_array_equal(stored(tmp_path, image, ".gif"), colours[GREY % 4])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L"])
def test_transparent_pixels_become_black(tmp_path: Path, mode: str) -> None:
    transparent = GREY % 2 == 0
    if mode in ("RGBA", "LA"):
        image = Image.fromarray(AS_RGB).convert(mode)
        image.putalpha(Image.fromarray(np.where(transparent, 0, 255).astype(np.uint8)))
        options: dict[str, Any] = {}
        wanted = np.where(transparent[..., None], 0, AS_RGB)
    else:
        # One colour, palette entry or grey value is declared transparent.
        one = int(GREY[0, 0])
        image = Image.fromarray(AS_RGB if mode == "RGB" else GREY)
        if mode == "P":
            image.putpalette([value for value in range(256) for _ in range(3)])
        options = {"transparency": (one, one, one) if mode == "RGB" else one}
        wanted = np.where(one == AS_RGB, 0, AS_RGB)
    np.testing.assert_array_equal(stored(tmp_path, image, ".png", **options), wanted)


def test_half_transparent_pixels_are_darkened() -> None:
    image = Image.new("RGBA", (20, 12), (200, 100, 50, 51))
    np.testing.assert_array_equal(STRETCH.prepare(image)[0, 0], [40, 20, 10])


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    inks = {(0, 0, 0, 0): 255, (255, 255, 255, 0): 0, (0, 0, 0, 255): 0}
    for ink, value in inks.items():
        got = stored(tmp_path, Image.new("CMYK", (20, 12), ink), ".jpg", quality=100)
        assert np.abs(got.astype(int) - value).max() <= 2
    got = STRETCH.prepare(Image.new("CMYK", (20, 12), (255, 0, 0, 0)))
    np.testing.assert_array_equal(got[0, 0], [0, 255, 255])


def test_a_picture_that_is_missing_broken_or_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    with pytest.raises(InputError, match=rf"there is no picture {path}"):
        open_picture(path)
    path.write_text("text")
    with pytest.raises(InputError, match=rf"{path} is not a picture"):
        open_picture(path)
    picture(40, 40).save(path)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(InputError, match=rf"cannot read the picture {path}"):
        open_picture(path)
    with pytest.raises(InputError, match=rf"{tmp_path} is a folder, not a picture"):
        open_picture(tmp_path)


def test_an_opened_picture_needs_its_file_no_more(tmp_path: Path) -> None:
    picture(12, 20).save(tmp_path / "picture.png")
    opened = open_picture(tmp_path / "picture.png")
    (tmp_path / "picture.png").unlink()
    np.testing.assert_array_equal(STRETCH.prepare(opened), np.asarray(picture(12, 20)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 0}, "sides of 1 to 4096 pixels, not 0×20"),
        ({"width": -1}, "not 12×-1"),
        ({"width": LARGEST_SIDE + 1}, "not 12×4097"),
        ({"channels": 1}, "3 channels.* not 1 channels"),
        ({"resize": "squeeze"}, "stretch, center_crop, not 'squeeze'"),
    ],
)
def test_a_spec_that_no_model_takes_is_refused_when_it_is_made(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(STRETCH, **change)


def test_a_spec_is_read_back_from_its_json() -> None:
    for spec in (STRETCH, CROP, ImageSpec(1, LARGEST_SIDE)):
        assert ImageSpec.from_json(spec.to_json()) == spec
    assert STRETCH.shape == (12, 20, 3)


def test_json_without_a_key_with_one_more_or_with_another_type_is_refused() -> None:
    good = STRETCH.to_json()
    for name in good:
        with pytest.raises(InputError, match=f"`{name}` is missing"):
            ImageSpec.from_json({key: value for key, value in good.items() if key != name})
        for value in (None, "12", 1.0, True, [12], {}, float("nan")):
            with pytest.raises(InputError, match=rf"`{name}` must be a|must be one of"):
                ImageSpec.from_json({**good, name: value})
    with pytest.raises(InputError, match="has the key 'depth', which is not known"):
        ImageSpec.from_json({**good, "depth": 8})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    )
)
def test_no_json_value_gives_anything_but_a_spec_or_an_input_error(value: Any) -> None:
    for candidate in (value, *({**STRETCH.to_json(), name: value} for name in STRETCH.to_json())):
        try:
            spec = ImageSpec.from_json(candidate)
        except InputError:
            continue
        assert spec.to_json() == candidate


def exif_of_orientation(value: bytes, kind: int = 3) -> bytes:
    """EXIF data with one entry, the orientation: `value` are its four bytes, `kind` TIFF's number for its type."""
    entry = b"\x01\x12" + kind.to_bytes(2, "big") + b"\0\0\0\1" + value
    return b"Exif\0\0MM\0*\0\0\0\x08\0\1" + entry + b"\0\0\0\0"


DAMAGED_EXIF = {
    "no header": b"Exif\0\0XX",
    "text": b"Exif\0\0a text in its place",
    "nothing after the header": b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
    "an offset out of it": b"Exif\0\0II*\0\xff\xff\xff\xff",
    "an orientation of 9": exif_of_orientation(b"\0\x09\0\0"),
    "an orientation in words": exif_of_orientation(b"up\0\0", kind=2),
    "an orientation elsewhere": exif_of_orientation(b"\0\0\xff\0", kind=5),
    "an orientation of one byte": exif_of_orientation(b"\6\0\0\0", kind=1),
}


@pytest.mark.parametrize("exif", DAMAGED_EXIF.values(), ids=DAMAGED_EXIF.keys())
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_an_orientation_that_cannot_be_read_leaves_the_picture_as_stored(
    tmp_path: Path, exif: bytes, suffix: str
) -> None:
    plain, damaged = tmp_path / f"plain{suffix}", tmp_path / f"damaged{suffix}"
    picture(12, 20).save(plain)
    picture(12, 20).save(damaged, exif=exif)
    notes: list[str] = []
    got = STRETCH.prepare(open_picture(damaged), notes.append)
    np.testing.assert_array_equal(got, STRETCH.prepare(open_picture(plain)))
    (note,) = notes
    assert note.startswith("it is taken as it is stored, because its EXIF ")
    assert note.isprintable()
    assert len(note) < 300


def test_an_orientation_that_can_be_read_counts_though_other_exif_data_cannot(tmp_path: Path) -> None:
    more = b"\x87\x69\0\4\0\0\0\1\xff\xff\xff\xff"  # a second directory, far behind the end
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\2" + b"\x01\x12\0\3\0\0\0\1\0\6\0\0" + more + b"\0\0\0\0"
    picture(20, 12).save(tmp_path / "turned.png", exif=exif)
    notes: list[str] = []
    got = STRETCH.prepare(open_picture(tmp_path / "turned.png"), notes.append)
    np.testing.assert_array_equal(got, np.rot90(np.asarray(picture(20, 12)), -1))
    assert not notes


@pytest.mark.parametrize("exif", [b"", exif_of_orientation(b"\0\0\0\0"), exif_of_orientation(b"\0\1\0\0")])
def test_pictures_without_an_orientation_need_no_note(tmp_path: Path, exif: bytes) -> None:
    picture(12, 20).save(tmp_path / "picture.png", exif=exif)
    notes: list[str] = []
    STRETCH.prepare(open_picture(tmp_path / "picture.png"), notes.append)
    assert not notes


def test_xmp_that_is_rubbish_does_no_harm(tmp_path: Path) -> None:
    picture(12, 20).save(tmp_path / "picture.jpg", xmp=b"\xff<tiff:Orientation>\xfe</tiff:Orientation")
    STRETCH.prepare(open_picture(tmp_path / "picture.jpg"))


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EndProlog\nshowpage\n%%EOF\n"


def foreign_formats() -> dict[str, bytes]:
    """Formats that Pillow can both write and read, and that nothing here says it takes."""
    found = {"EPS": EPS}
    Image.init()
    for name in sorted(set(Image.SAVE) & set(Image.OPEN) - set(PILLOW_NAMES) - {"MPO"}):
        for mode in ("RGB", "L", "1"):
            stream = io.BytesIO()
            try:
                picture(16, 16).convert(mode).save(stream, name)
            except Exception:
                continue
            found[name] = stream.getvalue()
            break
    return found


def test_only_the_documented_formats_are_opened_whatever_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*arguments: Any, **options: Any) -> None:
        raise AssertionError(f"a program was started: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", start)
    formats = foreign_formats()
    assert {"EPS", "ICO", "PPM", "TGA", "PCX", "SGI"} <= set(formats)
    for name, data in formats.items():
        for suffix in (".jpg", ".png", f".{name.lower()}"):
            path = tmp_path / f"{name}{suffix}"
            path.write_bytes(data)
            with pytest.raises(InputError, match=r"is not a picture that can be read .JPEG, PNG, WebP, BMP, GIF"):
                open_picture(path)
        with pytest.raises(InputError, match="no picture that can be read"):
            decode_picture(data)


@pytest.mark.parametrize("name", PILLOW_NAMES)
def test_each_documented_format_is_opened_whatever_the_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "picture.txt"
    picture(12, 20).save(path, name)
    with Image.open(path) as expected:
        np.testing.assert_array_equal(
            STRETCH.prepare(open_picture(path)), np.asarray(expected.convert("RGB"), np.uint8)
        )
    assert decode_picture(path.read_bytes()).size == (20, 12)


def test_a_photo_with_a_second_picture_in_it_is_a_jpeg(tmp_path: Path) -> None:
    # As phones write them, with the range of brightness or a preview behind the photo.
    picture(12, 20).save(tmp_path / "photo.jpg", "MPO", save_all=True, append_images=[picture(6, 10)])
    assert open_picture(tmp_path / "photo.jpg").size == (20, 12)


def test_a_pipe_is_named_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(InputError, match="pipe or a device"):
        open_picture(tmp_path / "pipe.jpg")


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """The same bytes with a few changed, cut off, taken out or put in twice; mostly near the start."""
    mutant = bytearray(data)
    for _ in range(random.integers(1, 6)):
        at = int(random.integers(0, min(len(mutant), 200) if random.random() < 0.7 else len(mutant)))
        match random.integers(0, 5):
            case 0:
                mutant[at : at + 4] = random.bytes(4)
            case 1:
                mutant[at] ^= 1 << int(random.integers(0, 8))
            case 2:
                del mutant[at : at + int(random.integers(1, 30))]
            case 3:
                mutant[at:at] = mutant[at : at + int(random.integers(1, 30))]
            case _:
                del mutant[max(at, 8) :]
        if not mutant:
            break
    return bytes(mutant)


def test_no_damaged_picture_ends_in_anything_but_pixels_or_an_input_error(tmp_path: Path) -> None:
    random = np.random.default_rng(18)
    originals = []
    for name in PILLOW_NAMES:
        stream = io.BytesIO()
        picture(24, 32).save(stream, name, exif=exif_of_orientation(b"\0\6\0\0")) if name not in (
            "BMP", "GIF"
        ) else picture(24, 32).quantize(16).save(stream, name)  # fmt: skip
        originals.append(stream.getvalue())
    path, read = tmp_path / "picture.jpg", 0
    for number in range(700):
        data = damaged(originals[number % len(originals)], random)
        path.write_bytes(data)
        notes: list[str] = []
        try:
            pixels = STRETCH.prepare(open_picture(path), notes.append)
        except InputError as error:
            message = str(error)
            assert message.isprintable()
            assert len(message) < 500
            continue
        assert (pixels.shape, pixels.dtype) == ((12, 20, 3), np.uint8)
        assert all(note.isprintable() for note in notes)
        read += 1
    assert 50 < read < 650
