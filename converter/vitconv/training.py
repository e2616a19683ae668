"""Trains a model of the catalogue on a data set and leaves a checkpoint folder.

OUT/card.json, weights-*.safetensors the epoch with the best validation accuracy
OUT/history.csv, curves.png          loss and accuracy of every epoch
OUT/training/                        all that `resume` needs: the last epoch's weights, optimizer, random states
"""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitconv import checkpoints
from vitconv.augmentation import augment
from vitconv.checkpoints import Card, Checkpoint
from vitconv.datasets import Dataset, Progress, Split, open_dataset
from vitconv.errors import CheckpointError, InputError
from vitconv.files import atomic_directory, atomic_write, writable_directory, write_json, write_text
from vitconv.images import ImageSpec
from vitconv.models import catalogue
from vitconv.models.catalogue import Recipe

if TYPE_CHECKING:
    import keras

STATE = "training"


@dataclass(frozen=True)
class TrainConfig:
    """What to train. None means the recipe's, or the model's own image size."""

    model: str
    dataset: str
    out: Path
    image_size: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    resume: bool = False


@dataclass(frozen=True)
class TrainResult:
    """A finished training: the checkpoint, and each epoch's figures."""

    checkpoint: Checkpoint
    history: tuple[Mapping[str, float], ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "checkpoint": str(self.checkpoint.path),
            "card": self.checkpoint.card.to_json(),
            "history": [dict(row) for row in self.history],
        }


def train(config: TrainConfig, progress: Progress | None = None, verbose: int = 0) -> TrainResult:
    """Trains, epoch by epoch, and keeps the best weights by validation accuracy.

    With `config.resume`, goes on after the last whole epoch of an earlier call into the same folder; what it was
    called with then must not differ now, except for more epochs. `verbose` is Keras's: 0 silent, 1 a progress bar,
    2 a line an epoch.
    """
    entry = catalogue.find(config.model)
    spec = entry.spec(config.image_size)
    dataset = open_dataset(config.dataset)
    recipe = entry.recipe.changed(epochs=config.epochs, batch_size=config.batch_size)
    if recipe.flip and not dataset.mirrored_keeps_label:
        recipe = recipe.changed(flip=False)
    out = writable_directory(config.out)
    resumed = _TrainingState.read(out / STATE) if config.resume else None
    if resumed is None and (out / checkpoints.CARD).exists():
        raise InputError(
            f"{out} already holds a checkpoint. Give another --out, or --resume to go on with its training."
        )

    import keras

    larger = ImageSpec(
        round(spec.height * recipe.crop_margin), round(spec.width * recipe.crop_margin), resize=spec.resize
    )
    training = dataset.split("train", larger, progress)
    validation = dataset.split("validation", spec, progress)
    identity = _identity(config, spec, dataset, training, recipe)

    keras.utils.set_random_seed(config.seed)
    model = entry.build(spec, len(dataset.labels))
    _adapt(model, training)
    _compile(model, recipe)
    model.optimizer.build(model.trainable_variables)
    history: list[dict[str, float]] = []
    if resumed is not None:
        if resumed.identity != identity:
            raise InputError(_changed_since(resumed.identity, identity, out))
        resumed.restore(model)
        history = resumed.history

    keeper = _keeper(model, history, out, identity, _card(config, spec, dataset, training, validation, recipe))
    first = len(history)
    if first < recipe.epochs:
        batches = _batches(training, spec, recipe, config.seed, first, len(dataset.labels))
        model.fit(
            batches,
            initial_epoch=first,
            epochs=recipe.epochs,
            validation_data=_plain_batches(validation, recipe.batch_size, len(dataset.labels)),
            callbacks=[keeper],
            verbose=verbose,
            shuffle=False,
        )
    return TrainResult(checkpoints.open_checkpoint(out), tuple(history))


def _compile(model: keras.Model, recipe: Recipe) -> None:
    import keras

    if recipe.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay)
    else:
        optimizer = keras.optimizers.Adam(recipe.learning_rate)
    top5 = keras.metrics.TopKCategoricalAccuracy(5, name="top5")
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy"), top5],
        jit_compile=False,  # XLA on a CPU trains these networks at a quarter to half the speed
    )


def _adapt(model: keras.Model, training: Split) -> None:
    """Gives a Normalization layer, where the model has one, the training images' mean and variance."""
    for layer in model.layers:
        if layer.name == "normalise":
            pixels = training.images.astype(np.float64).reshape(-1, 3)
            layer.build((None, *model.inputs[0].shape[1:]))
            layer.adapt_mean.assign(pixels.mean(axis=0))
            layer.adapt_variance.assign(pixels.var(axis=0))
            layer.finalize_state()


def _batches(training: Split, spec: ImageSpec, recipe: Recipe, seed: int, first_epoch: int, classes: int) -> Any:
    import keras

    class Batches(keras.utils.PyDataset):
        """Shuffled and augmented batches, each a function of (seed, epoch, index) alone."""

        def __init__(self) -> None:
            super().__init__(workers=1, max_queue_size=4)
            self.epoch = first_epoch
            self.order = self._shuffled()

        def _shuffled(self) -> np.ndarray:
            return np.random.default_rng((seed, self.epoch)).permutation(len(training))

        def __len__(self) -> int:
            return -(-len(training) // recipe.batch_size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            rng = np.random.default_rng((seed, self.epoch, index))
            chosen = self.order[index * recipe.batch_size : (index + 1) * recipe.batch_size]
            images = augment(training.images[chosen], spec.height, spec.width, recipe, rng)
            return images, np.eye(classes, dtype=np.float32)[training.labels[chosen]]

        def on_epoch_end(self) -> None:
            self.epoch += 1
            self.order = self._shuffled()

    return Batches()


def _plain_batches(split: Split, batch_size: int, classes: int) -> Any:
    import keras

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return -(-len(split) // batch_size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            part = slice(index * batch_size, (index + 1) * batch_size)
            return split.images[part].astype(np.float32), np.eye(classes, dtype=np.float32)[split.labels[part]]

    return Batches()


def _keeper(model: keras.Model, history: list[dict[str, float]], out: Path, identity: Any, card: Card) -> Any:
    """A callback that after every epoch keeps the best weights, the history and the state to resume from."""
    import keras

    class Keeper(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
            best = max((row["val_accuracy"] for row in history), default=-1.0)
            history.append({"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}})
            if not np.isfinite(history[-1]["loss"]):
                raise InputError(
                    f"the loss became {history[-1]['loss']} in epoch {epoch + 1}: the training diverged. "
                    "Try a larger batch or another seed."
                )
            if history[-1]["val_accuracy"] > best:
                results = {name: value for name, value in history[-1].items() if name.startswith("val_")}
                best_card = Card(**{**vars(card), "results": {"epoch": epoch + 1, **results}})
                checkpoints.save(out, model, best_card)
            # The state goes last: a kill before it repeats this epoch, and repeats it the same.
            _TrainingState(out / STATE, identity, history).write(model)
            write_text(out / "history.csv", _history_csv(history))
            _draw_curves(history, out / "curves.png", f"{card.model} on {card.dataset['name']}")

    return Keeper()


@dataclass(frozen=True)
class _TrainingState:
    """What `resume` starts from. `identity` is all that must be the same in both calls."""

    folder: Path
    identity: Mapping[str, Any]
    history: list[dict[str, float]]

    def write(self, model: keras.Model) -> None:
        with atomic_directory(self.folder) as temporary:
            write_json(temporary / "state.json", {"identity": self.identity, "history": self.history})
            # Names of random states and optimizer slots differ between processes; their order doesn't.
            arrays = {f"{index:04}": np.asarray(value) for index, value in enumerate(_state_variables(model))}
            checkpoints.write_tensors(temporary / "variables.safetensors", arrays)

    @classmethod
    def read(cls, folder: Path) -> _TrainingState | None:
        """None where no epoch was finished yet."""
        file = folder / "state.json"
        if not file.exists():
            return None
        try:
            value = json.loads(file.read_text(encoding="utf-8"))
            return cls(folder, value["identity"], list(value["history"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"cannot resume from {file}: {error}. Train anew into another folder."
            ) from error

    def restore(self, model: keras.Model) -> None:
        file = self.folder / "variables.safetensors"
        arrays = checkpoints.read_tensors(file)
        variables = _state_variables(model)
        shapes = [tuple(variable.shape) for variable in variables]
        if [arrays[name].shape for name in sorted(arrays)] != shapes:
            raise CheckpointError(f"{file} is not of this model. Train anew into another folder.")
        for variable, name in zip(variables, sorted(arrays), strict=True):
            variable.assign(arrays[name])


def _state_variables(model: keras.Model) -> list[Any]:
    random_states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    return [*model.weights, *random_states, *model.optimizer.variables]


def _identity(
    config: TrainConfig, spec: ImageSpec, dataset: Dataset, training: Split, recipe: Recipe
) -> dict[str, Any]:
    """What must not change between a training and its resumption; the number of epochs may."""
    how = {name: value for name, value in recipe.to_json().items() if name != "epochs"}
    return {
        "model": config.model,
        "image": spec.to_json(),
        "dataset": {"name": dataset.name, "version": dataset.version, "digest": training.digest},
        "seed": config.seed,
        "recipe": how,
    }


def _changed_since(before: Mapping[str, Any], now: Mapping[str, Any], out: Path) -> str:
    changes = [f"{name} was {before.get(name)}, now {now[name]}" for name in now if before.get(name) != now[name]]
    return f"cannot resume {out}: {'; '.join(changes)}. Give the same as before, or another --out."


def _card(
    config: TrainConfig, spec: ImageSpec, dataset: Dataset, training: Split, validation: Split, recipe: Recipe
) -> Card:
    splits = {
        split.name: {"source": split.source, "images": len(split), "digest": split.digest}
        for split in (training, validation)
    }
    return Card(
        model=config.model,
        labels=dataset.labels,
        image=spec,
        dataset={
            "name": dataset.name,
            "source": config.dataset,  # what opens it again
            "version": dataset.version,
            "splits": splits,
        },
        recipe=recipe.to_json(),
        seed=config.seed,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("tensorflow", "keras", "numpy", "pillow")},
        },
        results={},
    )


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
    best = max(history, key=lambda row: row["val_accuracy"])
    accuracy.set_title(f"best {best['val_accuracy']:.1%} in epoch {best['epoch']:.0f}", fontsize=10)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
