"""Accuracy and loss of every epoch, and of each class what training saw and how well it did there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vitconv.exporting.classes import TrainedClass, never_trained, never_validated
from vitconv.reporting import charts
from vitconv.reporting.findings import Export, some
from vitconv.reporting.sections.graphics import Bar, Figure


@dataclass(frozen=True)
class ClassRow:
    label: str
    images: str
    right: str
    bar: Bar


@dataclass(frozen=True)
class Training:
    """`note` and `figures` are of the epochs, empty where no history was kept; `unseen` are sentences on classes
    that training or validation had no picture of; `classes` the others, those of the lowest validation accuracy
    first."""

    note: str
    figures: tuple[Figure, ...]
    unseen: tuple[str, ...]
    classes: tuple[ClassRow, ...]


def training(export: Export) -> Training | None:
    if not export.history and not export.classes:
        return None
    note, figures = _epochs(export) if export.history else ("", ())
    known = export.classes or ()
    return Training(note, figures, tuple(_unseen(known)), tuple(_rows(known)))


def _unseen(classes: Sequence[TrainedClass]) -> Iterator[str]:
    if labels := never_trained(classes):
        yield f"No training picture is of {some(labels)}: no file can name {'it' if len(labels) == 1 else 'them'}."
    if labels := never_validated(classes):
        were = "it was" if len(labels) == 1 else "they were"
        yield f"No validation picture is of {some(labels)}: how well {were} learnt is not known."


def _rows(classes: Sequence[TrainedClass]) -> Iterator[ClassRow]:
    measured = [(one.right / one.images, one) for one in classes if one.images and one.right is not None]
    for share, one in sorted(measured, key=lambda pair: (pair[0], pair[1].label)):
        yield ClassRow(one.label, str(one.images), f"{share:.0%}", Bar(share, f"{share:.0%} right"))


def _epochs(export: Export) -> tuple[str, tuple[Figure, ...]]:
    history = export.history
    figures = tuple(
        Figure(charts.training_curve(history, name, name), f"{name.capitalize()} of every epoch.")
        for name in ("accuracy", "loss")
        if all(name in row for row in history)
    )
    best = max(history, key=lambda row: row.get("val_accuracy", 0.0))
    note = f"{len(history)} epochs; the best by validation accuracy is epoch {best['epoch']:.0f}"
    if "val_accuracy" in best:
        note += f", {best['val_accuracy']:.2%}"
    return f"{note}.", figures
