"""How much accuracy is left on bad pictures."""

from __future__ import annotations

from dataclasses import dataclass

from vitconv.reporting import charts
from vitconv.reporting.findings import Export
from vitconv.reporting.sections.graphics import Figure
from vitconv.robustness.corruptions import STRENGTHS, TITLES
from vitconv.robustness.measuring import Robust, RobustFile


@dataclass(frozen=True)
class StrengthRow:
    """Keras or a file; figures in percent, those that only a file has are empty for Keras. `by_strength` begins
    with the clean pictures."""

    name: str
    by_strength: tuple[str, ...]
    mean: str
    agreement: str
    extra_loss: str


@dataclass(frozen=True)
class CorruptionRow:
    """The mean of all strengths of one corruption, for each of `Robustness.names`."""

    title: str
    top1: tuple[str, ...]


@dataclass(frozen=True)
class Robustness:
    """`images` says which, in words; `names` are Keras and the files, in the order of the columns."""

    images: str
    sentences: tuple[str, ...]
    overview: Figure
    each: Figure
    strengths: tuple[str, ...]
    rows: tuple[StrengthRow, ...]
    names: tuple[str, ...]
    corruptions: tuple[CorruptionRow, ...]


def robustness(export: Export) -> Robustness | None:
    kept = export.robustness
    if kept is None:
        return None
    measured = kept.measured
    answering = (("Keras", measured.reference), *((file.scheme, file) for file in measured.files))
    kinds = list(measured.reference.top1)
    truth = "" if kept.labelled else "; Keras's answers to the clean pictures are the truth"
    return Robustness(
        images=f"{kept.examples} images of {kept.dataset}, each made worse in {len(kinds)} ways at "
        f"{len(STRENGTHS)} strengths{truth}",
        sentences=tuple(file.sentence for file in measured.files),
        overview=Figure(
            charts.accuracy_against_strength(measured), "Top-1 against strength, the mean of all corruptions."
        ),
        each=Figure(
            charts.accuracy_of_each_corruption(measured), "Top-1 in % against strength, 0 for clean pictures."
        ),
        strengths=("clean", *map(str, STRENGTHS)),
        rows=tuple(_row(name, one) for name, one in answering),
        names=tuple(name for name, _ in answering),
        corruptions=tuple(
            CorruptionRow(
                TITLES.get(kind, kind),
                tuple(f"{sum(one.top1[kind]) / len(STRENGTHS):.1%}" for _, one in answering),
            )
            for kind in kinds
        ),
    )


def _row(name: str, one: Robust) -> StrengthRow:
    agreement = extra = ""
    if isinstance(one, RobustFile):
        low, high = one.extra_loss_interval
        agreement, extra = f"{one.mean_agreement:.2%}", f"{one.extra_loss:+.2f} ({low:.2f} to {high:.2f})"
    by_strength = tuple(f"{one.at(strength):.1%}" for strength in (0, *STRENGTHS))
    return StrengthRow(name, by_strength, f"{one.mean_top1:.2%}", agreement, extra)
