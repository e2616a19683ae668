"""Are calibration images like those that the network was trained on? Ranges of others clip what it needs.

A network's card keeps what it has seen in a few numbers (`data.pixels.Pixels`). What changed calibration images
cost was measured (docs/int8.md): brighter or swapped colours, grey images and negatives at most 2 points of
agreement with the float graph; half the contrast up to 8; a tenth of it 27 to 72. So lost contrast is an error,
and the rest is a warning. One image for all costs nothing in one network and 18 points in another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.data.pictures.pixels import Pixels, thumbnails
from vitconv.foundation.errors import InputError

# Correlation of neighbouring pixels, as measured (median): tf_flowers 0.95, cifar100 0.90, digits 0.40 at their
# own 8×8 pixels and more when enlarged; noise 0.00, none of 200 images above 0.08.
_LEAST_CORRELATION = 0.15

# Of the contrast that training had: below the first an error, outside the other two a warning.
_LOST_CONTRAST, _LOW_CONTRAST, _HIGH_CONTRAST = 0.15, 0.6, 1.6
_SHIFT = 0.35  # of the contrast, by which a channel's mean may differ
_SURE = 3.0  # standard errors of a mean of so many images, within which it may differ by chance
_GREY, _COLOURED = 0.15, 4.0  # of the colour that training had
_LEAST_COLOUR = 4.0  # levels, below which images count as grey: what JPEG makes of grey ones
_BLURRED, _SHARP = 0.5, 2.0  # of the detail that training had; images enlarged for random crops have a little less
_SAME = 0.1  # of the spread that training had; of the contrast, by which a mean may differ and be called equal
# By how much two images' thumbnails differ at most that are as good as one: levels, and less where images are dark
# or were much alike in training, too (a fixed camera).
_ALIKE, _ALIKE_OF_CONTRAST, _ALIKE_OF_SPREAD = 2.0, 0.04, 0.05
_COMPARED = 400  # images that are looked through for copies
_FEW = 10  # images, below which nothing is said of copies: they are too few anyway, and that is said

# What to expect where the card tells nothing: levels.
_LEAST_RANGE, _LEAST_CONTRAST, _DARK, _BRIGHT = 16, 20.0, 20.0, 235.0

_ADVICE = "Calibrate on pictures like those that the phone will see, with values from 0 to 255."


def check_pictures(
    images: NDArray[np.uint8], source: str, pixels: Mapping[str, Any] | None, familiar: bool = False
) -> tuple[str, ...]:
    """What is doubtful about the images, uint8 [N, H, W, 3], in sentences.

    `pixels` is the card's, None where it has none. `familiar` are images that the network was trained on.
    Raises InputError where an integer file of their ranges would be wrong.
    """
    _refuse_noise(images, source)
    seen, trained = Pixels.of(images), None if pixels is None else Pixels.from_json(pixels)
    if not familiar and (fault := _fault(seen, trained)):
        raise InputError(
            f"the {len(images)} calibration images of {source} {fault}. An int8 file with their ranges would give "
            f"wrong answers. {_ADVICE}"
        )
    found: list[str] = []
    if not familiar:
        found += _differences(seen, trained, len(images)) if trained else _odd(seen)
    found += _sameness(images, seen, trained)
    if not found:
        return ()
    return (
        f"the {len(images)} calibration images of {source} are doubtful: {'; '.join(found)}. Integer files may "
        f"lose accuracy: `vitconv verify` on the network's own data set says how much. {_ADVICE}",
    )


def _refuse_noise(images: NDArray[np.uint8], source: str) -> None:
    pixels = images.astype(np.float32).mean(axis=-1)  # [N, H, W]
    left, right = pixels[:, :, :-1], pixels[:, :, 1:]
    left = left - left.mean(axis=(1, 2), keepdims=True)
    right = right - right.mean(axis=(1, 2), keepdims=True)
    spread = np.sqrt((left**2).sum(axis=(1, 2)) * (right**2).sum(axis=(1, 2)))
    correlation = (left * right).sum(axis=(1, 2)) / np.where(spread > 0, spread, np.inf)
    strange = int(np.sum(correlation < _LEAST_CORRELATION))
    if 2 * strange > len(images):
        raise InputError(
            f"{strange} of {len(images)} calibration images of {source} look like noise or one flat "
            "colour: their neighbouring pixels hardly correlate. Calibrate on pictures like those that the phone "
            "will see."
        )


def _fault(seen: Pixels, trained: Pixels | None) -> str | None:
    """What makes the images useless; None where nothing does."""
    least, greatest = min(seen.min), max(seen.max)
    place = ""
    if greatest - least < _LEAST_RANGE or seen.contrast < _LEAST_CONTRAST:
        dark, bright = greatest < 64, least > 191
        place = f"are nearly {'black' if dark else 'white' if bright else 'of one grey'}: "
    if trained is None:
        return f"{place}all values are from {least} to {greatest}" if greatest - least < _LEAST_RANGE else None
    if seen.contrast < _LOST_CONTRAST * trained.contrast:
        return (
            f"{place or 'have almost no contrast: '}values from {least} to {greatest} with a standard deviation "
            f"of {_level(seen.contrast)}, and the images that the network was trained on had "
            f"{_level(trained.contrast)}"
        )
    return None


def _odd(seen: Pixels) -> Iterator[str]:
    """What photographs hardly are, where nobody knows what the network was trained on."""
    least, greatest = min(seen.min), max(seen.max)
    if seen.contrast < _LEAST_CONTRAST:
        values = f"values from {least} to {greatest}, standard deviation {_level(seen.contrast)}"
        yield f"there is little contrast ({values})"
    if not _DARK <= seen.brightness <= _BRIGHT:
        yield f"they are very {'dark' if seen.brightness < _DARK else 'bright'} (mean {seen.brightness:.0f})"


def _differences(seen: Pixels, trained: Pixels, count: int) -> Iterator[str]:
    contrast = seen.contrast / max(trained.contrast, 1.0)
    other_contrast = not _LOW_CONTRAST <= contrast <= _HIGH_CONTRAST
    if other_contrast:
        yield (
            f"their contrast is {'lower' if contrast < 1 else 'higher'} (a standard deviation of "
            f"{_level(seen.contrast)}, and {_level(trained.contrast)} in training)"
        )
    yield from _shifts(seen, trained, count)
    yield from _colours(seen, trained, count)
    if trained.detail and seen.detail is not None and not other_contrast:  # which changes it, too
        ratio = seen.detail / trained.detail
        if not _BLURRED <= ratio <= _SHARP:
            how = (
                f"neighbouring pixels differ by {_level(seen.detail)}, and by {_level(trained.detail)} in training"
            )
            what = "blurred, or enlarged from small ones" if ratio < 1 else "noisy or much sharper"
            yield f"they are {what} ({how})"


def _shifts(seen: Pixels, trained: Pixels, count: int) -> Iterator[str]:
    """Channels that are brighter or darker than in training, by more than chance explains in so many images."""
    here, there = np.array(seen.mean), np.array(trained.mean)
    chance = _SURE * (trained.spread or trained.contrast) / np.sqrt(count)
    if np.abs(here - there).max() <= max(_SHIFT * trained.contrast, chance):
        return
    means = f"mean {_numbers(here)}, and {_numbers(there)} in training"
    if np.abs(255 - here - there).max() < np.abs(here - there).max() / 3:
        yield f"they look inverted, like negatives (red, green and blue: {means})"
    elif (here < there - _SAME * trained.contrast).all() or (here > there + _SAME * trained.contrast).all():
        yield f"they are {'darker' if here[0] < there[0] else 'brighter'} (red, green and blue: {means})"
    else:
        yield f"their colours are others (red, green and blue: {means})"


def _colours(seen: Pixels, trained: Pixels, count: int) -> Iterator[str]:
    grey_now = seen.colour is not None and seen.colour < _LEAST_COLOUR
    if trained.colour is None:  # a card that tells of channels only
        if grey_now and np.ptp(trained.mean) > 1 and np.ptp(seen.mean) < 1:
            yield "they are grey, and in training they had colours"
        return
    assert seen.colour is not None
    if trained.colour < _LEAST_COLOUR:
        if seen.colour > _COLOURED * _LEAST_COLOUR:
            yield "they have colours, and in training they were grey"
        return
    if seen.colour < _GREY * trained.colour:
        yield "they are grey, and in training they had colours"
        return
    here, there = (one.mean[0] - one.mean[2] for one in (seen, trained))
    chance = _SURE * trained.colour / np.sqrt(count)
    if abs(here - there) > chance and abs(here + there) < abs(here - there) / 3:
        yield f"red and blue look swapped (red is {here:+.0f} from blue, and {there:+.0f} in training)"


def _sameness(images: NDArray[np.uint8], seen: Pixels, trained: Pixels | None) -> Iterator[str]:
    """Whether most images are copies of others or as good as, or all are much alike."""
    if len(images) < _FEW:
        return
    small = thumbnails(images[:_COMPARED]).reshape(min(len(images), _COMPARED), -1).astype(np.float32)
    alike = min(_ALIKE, _ALIKE_OF_CONTRAST * seen.contrast)
    if trained and trained.spread:
        alike = min(alike, _ALIKE_OF_SPREAD * trained.spread)
    different: list[int] = []
    for index, one in enumerate(small):
        if not different or np.abs(small[different] - one).mean(axis=1).min() > alike:
            different.append(index)
    if 2 * len(different) < len(small):
        yield (
            f"they are {len(different)} different pictures and {len(small) - len(different)} copies of these, or "
            "nearly so"
        )
    elif trained and trained.spread and seen.spread is not None and seen.spread < _SAME * trained.spread:
        yield (
            f"they are much alike (they differ from one another by {_level(seen.spread)} of 255, and in training "
            f"images differed by {_level(trained.spread)})"
        )


def _level(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _numbers(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:.0f}" for value in values)
