"""Which classes a file loses, and what it takes for what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vitconv.reporting import charts
from vitconv.reporting.findings import Export, some
from vitconv.reporting.sections.graphics import Bar, png_address

_WHOLE_MATRIX = 12  # classes, up to which the matrix is shown with its numbers
_MISTAKES = 12  # that are listed


@dataclass(frozen=True)
class ClassRow:
    """`keras` and `lost` are empty where nothing is known of Keras's answers."""

    label: str
    images: str
    keras: str
    file: str
    bar: Bar
    lost: str


@dataclass(frozen=True)
class Mistake:
    right: str
    given: str
    images: str


@dataclass(frozen=True)
class MatrixCell:
    """`share` is of the row's images, 0 to 1; `hit`: row and column are the same class."""

    images: str
    share: str
    hit: bool


@dataclass(frozen=True)
class Classes:
    """Of one file. The confusion matrix is in `matrix`, (label, cells) of each row, where there are few classes,
    else `picture` is the address of its picture. `unseen` is a sentence on classes that no image is of, or
    empty."""

    path: str
    scheme: str
    rows: tuple[ClassRow, ...]
    labels: tuple[str, ...]
    matrix: tuple[tuple[str, tuple[MatrixCell, ...]], ...]
    picture: str
    mistakes: tuple[Mistake, ...]
    unseen: str


def classes(export: Export) -> Classes | None:
    file, reference = export.subject(), export.reference
    if file is None or file.verified is None or file.verified.confusion is None or reference is None:
        return None
    mine, keras = file.verified.confusion, reference.confusion
    labels = tuple(map(export.label, range(len(mine))))
    small = len(labels) <= _WHOLE_MATRIX
    shares = mine / np.maximum(mine.sum(axis=1, keepdims=True), 1)
    return Classes(
        path=file.path,
        scheme=file.scheme,
        rows=_rows(labels, mine, keras),
        labels=labels,
        matrix=_matrix(labels, mine, shares) if small else (),
        picture="" if small else png_address(charts.thin(shares)),
        mistakes=_mistakes(labels, mine),
        unseen=_unseen(labels, mine if keras is None else keras),
    )


def _rows(labels: tuple[str, ...], mine: np.ndarray, keras: np.ndarray | None) -> tuple[ClassRow, ...]:
    """Those that lose most first; classes without images are left out."""
    totals = mine.sum(axis=1) if keras is None else keras.sum(axis=1)
    right = np.diag(mine)
    lost = np.zeros_like(right) if keras is None else np.diag(keras) - right
    order = np.lexsort((np.arange(len(totals)), right / np.maximum(totals, 1), -lost))
    rows = []
    for index in map(int, order):
        images = int(totals[index])
        if not images:
            continue
        share = right[index] / images
        rows.append(
            ClassRow(
                label=labels[index],
                images=str(images),
                keras="" if keras is None else f"{keras[index, index] / images:.0%}",
                file=f"{share:.0%}",
                bar=Bar(float(share), f"{share:.0%} right"),
                lost="" if keras is None else f"{lost[index]:+d}",
            )
        )
    return tuple(rows)


def _unseen(labels: tuple[str, ...], counts: np.ndarray) -> str:
    missing = [label for label, images in zip(labels, counts.sum(axis=1), strict=True) if not images]
    if not missing:
        return ""
    return f"No image is of {some(missing)}: nothing is known of {'it' if len(missing) == 1 else 'them'} here."


def _matrix(
    labels: tuple[str, ...], counts: np.ndarray, shares: np.ndarray
) -> tuple[tuple[str, tuple[MatrixCell, ...]], ...]:
    return tuple(
        (
            label,
            tuple(
                MatrixCell(str(counts[row, column]), f"{shares[row, column]:.3f}", row == column)
                for column in range(len(labels))
            ),
        )
        for row, label in enumerate(labels)
    )


def _mistakes(labels: tuple[str, ...], counts: np.ndarray) -> tuple[Mistake, ...]:
    off = counts - np.diag(np.diag(counts))
    pairs = [divmod(int(place), len(counts)) for place in np.argsort(-off, axis=None, kind="stable")[:_MISTAKES]]
    return tuple(
        Mistake(labels[right], labels[given], str(off[right, given]))
        for right, given in pairs
        if off[right, given]
    )
