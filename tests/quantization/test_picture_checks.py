"""Calibration pictures that are not what the network was trained on: what is refused, what is warned of, and what
is fine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitconv.data.datasets import open_dataset
from vitconv.data.pictures import pixels as pixels_module
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.pictures.pixels import Pixels, thumbnails
from vitconv.foundation.errors import InputError
from vitconv.quantization.picture_checks import check_pictures

Images = np.ndarray


def clipped(values: Any) -> Images:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def photographs(count: int, seed: int, size: int = 32) -> Images:
    """Coloured pictures with texture and a little noise, rather reddish: uint8 [count, size, size, 3]."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        patches = random.uniform(0, 255, (6, 6, 3)) * (1.0, 0.9, 0.7) + random.normal(0, 25, (1, 1, 3))
        picture = Image.fromarray(clipped(patches)).resize((size, size), Image.Resampling.BICUBIC)
        texture = random.normal(0, 25, (size // 2 + 1, size // 2 + 1, 1)).repeat(2, 0).repeat(2, 1)[:size, :size]
        found.append(clipped(np.asarray(picture) + texture + random.normal(0, 4, (size, size, 3))))
    return np.stack(found)


TRAINED = Pixels.of(photographs(1000, seed=0, size=37)).to_json()  # enlarged for random crops
EARLIER = {name: value for name, value in TRAINED.items() if name not in ("spread", "colour", "detail")}
CARDS = pytest.mark.parametrize("card", [TRAINED, EARLIER, None], ids=["card", "earlier card", "no statistics"])


def good() -> Images:
    return photographs(100, seed=1)


# --- what is fine ---


@CARDS
@pytest.mark.parametrize("count", [1, 5, 20, 100])
def test_pictures_of_the_same_kind_are_fine_however_few(card: Mapping[str, Any] | None, count: int) -> None:
    assert check_pictures(good()[:count], "photos", card) == ()


@pytest.mark.parametrize("seed", range(8))
def test_the_choice_of_pictures_alone_is_no_reason_to_warn(seed: int) -> None:
    assert check_pictures(photographs(30, seed=seed + 10), "photos", TRAINED) == ()


def test_digits_are_fine_for_a_network_of_digits() -> None:
    images = open_dataset("digits").split("train", ImageSpec(32, 32)).images
    for card in (Pixels.of(images).to_json(), None):
        assert check_pictures(images[:100], "digits", card) == ()


def test_whatever_a_network_was_trained_on_is_fine_for_it() -> None:
    dark = clipped(good() / 40)
    assert check_pictures(dark, "cellar", Pixels.of(dark).to_json()) == ()
    assert check_pictures(dark, "cellar", None, familiar=True) == ()
    with pytest.raises(InputError):
        check_pictures(dark, "cellar", None)
    assert check_pictures(good(), "photos", Pixels.of(dark).to_json(), familiar=True) == ()
    # A fixed camera: pictures that hardly differ, in training, too.
    belt = clipped(good()[:1] + np.random.default_rng(0).normal(0, 12, (100, 4, 4, 3)).repeat(8, 1).repeat(8, 2))
    assert check_pictures(belt, "belt", Pixels.of(belt).to_json()) == ()


# --- what is refused ---

USELESS: dict[str, tuple[Callable[[Images], Images], str]] = {
    "values 0 to 1": (lambda x: clipped(x / 255), "are nearly black: "),
    "values 0 to 8": (lambda x: clipped(x / 32), "are nearly black: "),
    "nearly white": (lambda x: clipped(254 + x / 255), "are nearly white: "),
    "fog": (lambda x: clipped(127 + x / 32), "are nearly of one grey: "),
}


@CARDS
@pytest.mark.parametrize("kind", list(USELESS))
def test_pictures_without_contrast_are_refused(kind: str, card: Mapping[str, Any] | None) -> None:
    change, words = USELESS[kind]
    with pytest.raises(InputError) as refused:
        check_pictures(change(good()), "photos", card)
    assert str(refused.value).startswith(f"the 100 calibration images of photos {words}")
    assert str(refused.value).endswith("phone will see, with values from 0 to 255.")


def test_little_contrast_is_refused_where_training_had_more_and_else_warned_of() -> None:
    faint = clipped(100 + (good() - 127.0) / 8)
    for card in (TRAINED, EARLIER):
        with pytest.raises(InputError, match=r"of one grey: values from .* with a standard deviation of 7\.7"):
            check_pictures(faint, "photos", card)
    (said,) = check_pictures(faint, "photos", None)
    assert "are doubtful: there is little contrast (values from" in said


def test_noise_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(InputError, match="20 of 20 calibration images of here look like noise or one flat colour"):
        check_pictures(noise, "here", TRAINED)
    with pytest.raises(InputError, match="noise or one flat colour"):
        check_pictures(np.full((5, 32, 32, 3), 200, np.uint8), "here", None)
    some = good()[:20]
    check_pictures(np.concatenate([some, noise[:19]]), "here", None)  # a few odd ones among many do no harm
    with pytest.raises(InputError, match="21 of 40"):
        check_pictures(np.concatenate([some[:19], noise, noise[:1]]), "here", None)


# --- what is warned of ---


def greyed(images: Images) -> Images:
    return np.stack([np.asarray(Image.fromarray(image).convert("L").convert("RGB")) for image in images])


def enlarged(images: Images) -> Images:
    """From a quarter of the size."""
    height, width = images.shape[1:3]
    small = [Image.fromarray(image).resize((width // 4, height // 4)) for image in images]
    return np.stack([np.asarray(one.resize((width, height), Image.Resampling.BILINEAR)) for one in small])


def noisy(images: Images) -> Images:
    return clipped(images + np.random.default_rng(0).normal(0, 40, images.shape))


DOUBTFUL: dict[str, tuple[Callable[[Images], Images], str]] = {
    "half as bright": (lambda x: clipped(x * 0.5), "they are darker (red, green and blue: mean "),
    "half the contrast": (lambda x: clipped(64 + x * 0.5), "their contrast is lower (a standard deviation of "),
    "much brighter": (lambda x: clipped(x + 60.0), "they are brighter (red, green and blue: mean "),
    "black and white": (lambda x: ((x > 127) * 255).astype(np.uint8), "their contrast is higher ("),
    "negatives": (lambda x: 255 - x, "they look inverted, like negatives"),
    "grey": (greyed, "they are grey, and in training they had colours"),
    "red and blue swapped": (lambda x: x[..., ::-1].copy(), "red and blue look swapped (red is -"),
    "red alone": (lambda x: x * np.array([1, 0, 0], np.uint8), "their colours are others"),
    "noisy": (noisy, "they are noisy or much sharper"),
    "enlarged": (enlarged, "they are blurred, or enlarged from small ones"),
    "copies of one": (lambda x: np.repeat(x[:1], 100, axis=0), "they are 1 different pictures and 99 copies"),
    "copies of five": (lambda x: np.tile(x[:5], (20, 1, 1, 1)), "they are 5 different pictures and 95 copies"),
    "one again and again": (
        lambda x: clipped(x[:1] + np.random.default_rng(0).normal(0, 3, x.shape)),
        "they are 1 different pictures and 99 copies",
    ),
    "much alike": (
        lambda x: clipped(0.93 * x[:1].astype(float) + 0.07 * np.concatenate([x, x])[3:103]),
        "they are much alike",
    ),
}


@pytest.mark.parametrize("kind", list(DOUBTFUL))
def test_other_pictures_than_training_had_are_named_with_what_differs(kind: str) -> None:
    change, words = DOUBTFUL[kind]
    (said,) = check_pictures(change(good()), "photos", TRAINED)
    assert said.startswith("the 100 calibration images of photos are doubtful: ")
    assert words in said
    assert "`vitconv verify` on the network's own data set says how much" in said


@pytest.mark.parametrize("kind", ["half as bright", "grey", "negatives", "copies of one"])
def test_a_card_of_an_earlier_version_still_tells_much(kind: str) -> None:
    change, words = DOUBTFUL[kind]
    (said,) = check_pictures(change(good()), "photos", EARLIER)
    assert words in said


@pytest.mark.parametrize(
    ("kind", "words"),
    [("copies of one", "1 different pictures and 99 copies"), ("dark", "they are very dark (mean 1")],
)
def test_without_statistics_what_photographs_hardly_are_is_named(kind: str, words: str) -> None:
    change = (lambda x: clipped(x * 0.12)) if kind == "dark" else DOUBTFUL[kind][0]
    (said,) = check_pictures(change(good()), "photos", None)
    assert words in said


def test_coloured_pictures_for_a_network_of_grey_ones_are_named() -> None:
    (said,) = check_pictures(good(), "photos", Pixels.of(greyed(photographs(300, 0))).to_json())
    assert "they have colours, and in training they were grey" in said


def test_few_pictures_are_not_called_copies() -> None:
    """That they are few is said already."""
    assert check_pictures(np.repeat(good()[:1], 9, axis=0), "photos", None) == ()


# --- the statistics ---


@pytest.mark.parametrize("at_once", [1, 10_000, 1 << 22])
def test_spread_colour_and_detail_are_what_they_say(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels_module, "_AT_ONCE", at_once)
    images = photographs(70, seed=3)
    pixels = Pixels.of(images)
    cells = images.astype(float).reshape(70, 8, 4, 8, 4, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(thumbnails(images), cells)
    assert pixels.spread == pytest.approx(np.sqrt(cells.var(axis=0).mean()))
    assert pixels.colour == pytest.approx((images.max(-1).astype(int) - images.min(-1)).mean())
    assert pixels.detail == pytest.approx(np.abs(np.diff(images.astype(int), axis=2)).mean())
    assert Pixels.from_json(pixels.to_json()) == pixels
    assert Pixels.from_json(EARLIER).spread is None


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (3, 40)])
def test_images_of_any_size_have_statistics(shape: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), dtype=np.uint8)
    pixels = Pixels.of(images)
    height, width = (min(side, 8) for side in shape)
    assert thumbnails(images).shape == (3, height, width, 3)
    assert pixels.spread is not None
    assert np.isfinite([pixels.spread, pixels.colour, pixels.detail]).all()
