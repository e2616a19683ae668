"""Accuracy and loss of every epoch."""

from __future__ import annotations

from dataclasses import dataclass

from vitconv.reporting import charts
from vitconv.reporting.findings import Export
from vitconv.reporting.sections.graphics import Figure


@dataclass(frozen=True)
class Training:
    note: str
    figures: tuple[Figure, ...]


def training(export: Export) -> Training | None:
    history = export.history
    if not history:
        return None
    figures = tuple(
        Figure(charts.training_curve(history, name, name), f"{name.capitalize()} of every epoch.")
        for name in ("accuracy", "loss")
        if all(name in row for row in history)
    )
    best = max(history, key=lambda row: row.get("val_accuracy", 0.0))
    note = f"{len(history)} epochs; the best by validation accuracy is epoch {best['epoch']:.0f}"
    if "val_accuracy" in best:
        note += f", {best['val_accuracy']:.2%}"
    return Training(f"{note}.", figures)
