"""What a training leaves behind after every epoch: the best weights, the history, the state to go on from."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitconv.checkpoints import checkpoint as checkpoints
from vitconv.checkpoints.checkpoint import Card
from vitconv.foundation.disk.files import atomic_write, write_text
from vitconv.foundation.errors import InputError
from vitconv.training.state import STATE, Setup, TrainingState

if TYPE_CHECKING:
    import keras

    from vitconv.training.steps.averaging import WeightAverage

HISTORY = checkpoints.HISTORY
CURVES = "curves.png"


def keeper(
    model: keras.Model,
    average: WeightAverage,
    history: list[dict[str, float]],
    out: Path,
    setup: Setup,
    card: Card,
    writes: bool = True,
) -> Any:
    """A callback that after every epoch keeps the best weights, the history and the state to resume from.

    Best is the highest validation accuracy, and of equal ones the lowest loss. Where the recipe averages weights,
    the averages are what is validated and kept. Of several workers one `writes`, but all read the variables, for
    reading those that replicas keep apart takes them all.
    """
    import keras

    class Keeper(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            average.update()

        def on_test_begin(self, logs: Any = None) -> None:
            average.put_in()

        def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
            row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
            if bad := [f"{name} became {value}" for name, value in row.items() if not np.isfinite(value)]:
                raise InputError(
                    f"the training diverged in epoch {epoch + 1}: {', '.join(bad)}. "
                    "Try a lower learning rate, a larger batch or another seed."
                )
            best = best_epoch(history)
            history.append(row)
            if best is None or best_epoch(history) is row:
                results = {
                    name: value for name, value in row.items() if name == "epoch" or name.startswith("val_")
                }
                if writes:
                    checkpoints.save(out, model, replace(card, results=results))
                else:
                    for weight in model.weights:
                        weight.numpy()
            average.take_out()
            state = TrainingState.of(model, setup, history, average.variables)
            if not writes:
                return
            write_text(out / HISTORY, _history_csv(history))
            _draw_curves(history, out / CURVES, f"{card.model} on {card.dataset['name']}")
            # The state goes last: a kill before it repeats this epoch, and repeats it the same.
            state.write(out / STATE)

    return Keeper()


def best_epoch(history: list[dict[str, float]]) -> dict[str, float] | None:
    """The epoch of the highest validation accuracy, of equal ones of the lowest loss; None before the first."""
    return max(history, key=lambda row: (row["val_accuracy"], -row["val_loss"]), default=None)


def _history_csv(history: list[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def _draw_curves(history: list[dict[str, float]], path: Path, title: str) -> None:
    """Loss and accuracy over epochs, training and validation, as a PNG."""
    from matplotlib.figure import Figure

    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title)
    loss, accuracy = figure.subplots(1, 2)
    for axes, key, label in ((loss, "loss", "loss"), (accuracy, "accuracy", "top-1 accuracy")):
        axes.plot(epochs, [row[key] for row in history], "o-", markersize=3, label="training")
        axes.plot(epochs, [row[f"val_{key}"] for row in history], "o-", markersize=3, label="validation")
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    best = best_epoch(history) or history[-1]
    accuracy.set_title(f"best {best['val_accuracy']:.1%} in epoch {best['epoch']:.0f}", fontsize=10)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
