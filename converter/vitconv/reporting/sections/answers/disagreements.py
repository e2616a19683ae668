"""The images on which an integer file and Keras disagree most."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vitconv.evaluation.evidence import Answer, Disagreement
from vitconv.explanation.drawing import as_png, overlaid, scaled
from vitconv.explanation.occlusion import spread_over
from vitconv.reporting.findings import Export, ModelFile, Reasons
from vitconv.reporting.sections.graphics import png_address


@dataclass(frozen=True)
class GivenAnswer:
    """Whose answer, and which with what probability; `label` is None where the file gave NaN or infinity."""

    who: str
    label: str | None
    probability: str
    right: bool


@dataclass(frozen=True)
class Map:
    """A picture of what `who` goes by; `points`: of the class's probability that covering a part takes away."""

    who: str
    picture: str
    points: str


@dataclass(frozen=True)
class Why:
    """What Keras and the file give the class `label` its probability for; `alike`: rank correlation of the
    maps."""

    label: str
    maps: tuple[Map, ...]
    alike: str


@dataclass(frozen=True)
class Card:
    """An image: its class, its place in the split, and the answers. `picture` is empty where there is none."""

    picture: str
    label: str
    index: str
    answers: tuple[GivenAnswer, ...]
    why: Why | None


@dataclass(frozen=True)
class FileDisagreements:
    """`others`: of how many of the cards the file and Keras name different classes."""

    scheme: str
    others: int
    cards: tuple[Card, ...]


def disagreements(export: Export) -> tuple[FileDisagreements, ...]:
    return tuple(_file(export, file) for file in export.files if file.verified and file.verified.disagreements)


def _file(export: Export, file: ModelFile) -> FileDisagreements:
    assert file.verified
    shown = file.verified.disagreements
    others = sum(one.file is None or one.file.answer != one.keras.answer for one in shown)
    return FileDisagreements(file.scheme, others, tuple(_card(export, file, one) for one in shown))


def _card(export: Export, file: ModelFile, one: Disagreement) -> Card:
    data = export.thumbnails.get(one.index)
    given = (("Keras", one.keras), (file.scheme, one.file))
    answers = tuple(_answer(export, who, answer, one.label) for who, answer in given)
    reasons = export.reasons.get((file.sha256, one.index))
    why = _why(reasons, file.scheme, data) if reasons and data else None
    return Card(png_address(data) if data else "", export.label(one.label), str(one.index), answers, why)


def _why(reasons: Reasons, scheme: str, thumbnail: bytes) -> Why | None:
    try:
        picture = np.asarray(Image.open(io.BytesIO(thumbnail)).convert("RGB"), np.uint8)
    except OSError:
        return None
    both = (("Keras", reasons.keras), (scheme, reasons.file))
    spread = {who: spread_over(np.array(one.drops), picture.shape[:2]) for who, one in both}
    largest = max(float(np.abs(values).max()) for values in spread.values())
    maps = tuple(
        Map(
            who,
            png_address(as_png(overlaid(picture, scaled(spread[who], largest)))),
            f"{100 * max(0.0, *(max(row) for row in one.drops)):.0f}",
        )
        for who, one in both
    )
    alike = reasons.file.rank_correlation
    return Why(reasons.label, maps, "" if alike is None else f"{alike:.2f}")


def _answer(export: Export, who: str, answer: Answer | None, label: int) -> GivenAnswer:
    if answer is None:
        return GivenAnswer(who, None, "", right=False)
    return GivenAnswer(who, export.label(answer.answer), f"{answer.probability:.0%}", answer.answer == label)
