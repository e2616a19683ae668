"""The images on which an integer file and Keras disagree most."""

from __future__ import annotations

from dataclasses import dataclass

from vitconv.evaluation.evidence import Answer, Disagreement
from vitconv.reporting.findings import Export, ModelFile
from vitconv.reporting.sections.graphics import png_address


@dataclass(frozen=True)
class GivenAnswer:
    """Whose answer, and which with what probability; `label` is None where the file gave NaN or infinity."""

    who: str
    label: str | None
    probability: str
    right: bool


@dataclass(frozen=True)
class Card:
    """An image: its class, its place in the split, and the answers. `picture` is empty where there is none."""

    picture: str
    label: str
    index: str
    answers: tuple[GivenAnswer, ...]


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
    return FileDisagreements(file.scheme, others, tuple(_card(export, file.scheme, one) for one in shown))


def _card(export: Export, scheme: str, one: Disagreement) -> Card:
    data = export.thumbnails.get(one.index)
    answers = [_answer(export, who, given, one.label) for who, given in (("Keras", one.keras), (scheme, one.file))]
    return Card(png_address(data) if data else "", export.label(one.label), str(one.index), tuple(answers))


def _answer(export: Export, who: str, answer: Answer | None, label: int) -> GivenAnswer:
    if answer is None:
        return GivenAnswer(who, None, "", right=False)
    return GivenAnswer(who, export.label(answer.answer), f"{answer.probability:.0%}", answer.answer == label)
