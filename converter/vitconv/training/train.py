"""Trains a model of the catalogue on a data set and leaves a checkpoint folder.

OUT/card.json, weights-*.safetensors the epoch with the best validation accuracy
OUT/history.csv, curves.png          loss and accuracy of every epoch
OUT/training.safetensors             all that `resume` needs: the last epoch's weights, optimizer, random states
"""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from vitconv.checkpoints import checkpoint as checkpoints
from vitconv.checkpoints.checkpoint import Card, Checkpoint
from vitconv.data.datasets import Dataset, Split, open_dataset
from vitconv.data.images import ImageSpec
from vitconv.foundation.errors import InputError, UnknownNameError
from vitconv.foundation.files import atomic_write, remove_leftovers, writable_directory, write_text
from vitconv.foundation.memory import keep_freed_memory
from vitconv.foundation.progress import Progress
from vitconv.models import catalogue
from vitconv.models.catalogue import ModelEntry, Recipe
from vitconv.training.augmentation import augment
from vitconv.training.batch_parts import compute_side_by_side, cut_batches, parts_of
from vitconv.training.distributed.distribution import STRATEGIES, Distribution, open_distribution
from vitconv.training.first_weights import FirstWeights
from vitconv.training.state import TrainingState, differences

if TYPE_CHECKING:
    import keras

    from vitconv.training.averaging import WeightAverage

STATE = "training.safetensors"
HISTORY = checkpoints.HISTORY
CURVES = "curves.png"
_FILES = (checkpoints.CARD, checkpoints.WEIGHTS, STATE, HISTORY, CURVES)


@dataclass(frozen=True)
class TrainConfig:
    """What to train. None means the recipe's, or the model's own image size, and the article's recipe.

    `init` is a checkpoint of the same model, perhaps of another image size or other classes, or a safetensors file
    of timm's MobileViT, whose weights to begin with. `seed` is 0 to 2³² − 1. `strategy` is one of
    `distribution.STRATEGIES`; `batch_size` counts the images of all its replicas together.
    """

    model: str
    dataset: str
    out: Path
    image_size: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    resume: bool = False
    recipe: str | None = None
    init: Path | None = None
    strategy: str = "none"

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise UnknownNameError("strategy", self.strategy, STRATEGIES)
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed must be from 0 to {2**32 - 1}, not {self.seed}.")


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

    With the strategy "multi-worker" every worker of TF_CONFIG calls this with the same config; the chief alone
    reads and writes `config.out` and shows progress, and all return the same. Where one stops, the others raise
    WorkerLostError.
    """
    keep_freed_memory()
    entry = catalogue.find(config.model)
    spec = entry.spec(config.image_size)
    init = FirstWeights.open(config.init) if config.init is not None else None
    distribution = open_distribution(config.strategy)
    with distribution.watched():
        if not distribution.is_chief:
            progress, verbose = None, 0
        return _train(config, entry, spec, init, distribution, progress, verbose)


def _train(
    config: TrainConfig,
    entry: ModelEntry,
    spec: ImageSpec,
    init: FirstWeights | None,
    distribution: Distribution,
    progress: Progress | None,
    verbose: int,
) -> TrainResult:
    recipe = entry.find_recipe(config.recipe).changed(epochs=config.epochs, batch_size=config.batch_size)
    parts = parts_of(entry, recipe) if distribution.strategy is None else 1
    compute_side_by_side(parts)
    dataset = open_dataset(config.dataset)
    if recipe.flip and not dataset.mirrored_keeps_label:
        recipe = recipe.changed(flip=False)
    out = config.out
    resumed = _earlier_state(out, config.resume) if distribution.is_chief else None

    larger = ImageSpec(
        round(spec.height * recipe.crop_margin), round(spec.width * recipe.crop_margin), resize=spec.resize
    )
    training = dataset.split("train", larger, progress)
    validation = dataset.split("validation", spec, progress)
    distribution.check_batch(recipe.batch_size, min(len(training), len(validation)))
    identity = _identity(config, spec, dataset, training, recipe, init)
    if resumed is not None:
        resumed.check(identity)
    resumed = _chief_s_state(distribution, identity, resumed)

    history = resumed.history if resumed is not None else []
    first = len(history)
    if first < recipe.epochs:
        from vitconv.training.averaging import WeightAverage

        with distribution.scope():
            model = new_model(entry, spec, dataset, training, recipe, config.seed, init, parts)
        average = WeightAverage(model, recipe.average, distribution.strategy)
        if resumed is not None:
            resumed.restore(model, average.variables)
        else:
            # So that a stop in the first epoch, its best weights already kept, can be resumed like any other.
            state = TrainingState.of(model, identity, history, average.variables)
            if distribution.is_chief:
                state.write(out / STATE)
        card = _card(config, spec, dataset, training, validation, recipe, init)
        classes = len(dataset.labels)
        keeper = _keeper(model, average, history, out, identity, card, distribution.is_chief)
        if distribution.strategy is not None:
            from vitconv.training.distributed.trainer import Trainer

            trainer = Trainer(model, average, distribution, recipe, spec, classes)
            trainer.fit(training, validation, config.seed, first, keeper, verbose)
        else:
            batches = training_batches(training, spec, recipe, config.seed, classes)
            model.fit(
                batches,
                initial_epoch=first,
                epochs=recipe.epochs,
                validation_data=_validation_batches(validation, recipe.batch_size, classes),
                callbacks=[_starter(batches), keeper],
                verbose=verbose,
                shuffle=False,
            )
    return TrainResult(_chief_s_checkpoint(distribution, out), tuple(history))


def _earlier_state(out: Path, resume: bool) -> TrainingState | None:
    """Makes the folder ready to be written into. Raises InputError where it holds what must not be overwritten."""
    writable_directory(out)
    state = TrainingState.read(out / STATE) if resume else None
    if state is None and (out / checkpoints.CARD).exists():
        if resume:
            raise InputError(f"{out} holds a checkpoint, but no {STATE} to go on from. Give another --out.")
        raise InputError(
            f"{out} already holds a checkpoint. Give another --out, or --resume to go on with its training."
        )
    remove_leftovers(out, _FILES)
    return state


def _chief_s_state(
    distribution: Distribution, identity: Mapping[str, Any], state: TrainingState | None
) -> TrainingState | None:
    """What the chief goes on from, on every worker. Raises InputError on one that was to train something else."""
    if distribution.cluster is None:
        return state
    wanted = json.loads(distribution.from_chief(json.dumps(identity).encode()))
    if changes := differences(wanted, identity, "is", "here"):
        raise InputError(
            f"{distribution.cluster.name} was not started like the chief, whose {'; '.join(changes)}. Give all "
            "workers the same command and data."
        )
    data = distribution.from_chief(state.to_bytes() if state is not None else b"")
    if distribution.is_chief or not data:
        return state
    with TemporaryDirectory() as folder:
        copy = Path(folder) / STATE
        copy.write_bytes(data)
        return TrainingState.read(copy)


def _chief_s_checkpoint(distribution: Distribution, out: Path) -> Checkpoint:
    """What the training left in the chief's folder, on every worker."""
    if distribution.cluster is None:
        return checkpoints.open_checkpoint(out)
    kept = checkpoints.open_checkpoint(out).card.to_json() if distribution.is_chief else None
    card = json.loads(distribution.from_chief(json.dumps(kept).encode()))
    return Checkpoint(out, checkpoints.card_from_json(card))


def new_model(
    entry: ModelEntry,
    spec: ImageSpec,
    dataset: Dataset,
    training: Split,
    recipe: Recipe,
    seed: int,
    init: FirstWeights | None,
    parts: int = 1,
) -> keras.Model:
    """The network with weights that depend on `seed` and `init` alone, compiled, with all its variables made. It
    computes a batch in so many `parts`."""
    import keras

    from vitconv.training.optimization import compile_model, prepare

    keras.utils.set_random_seed(seed)
    model = entry.build(spec, len(dataset.labels))
    if init is not None:
        init.put_into(model)
    _adapt(model, training)
    prepare(model, recipe, seed)
    compile_model(model, recipe, -(-len(training) // recipe.batch_size))
    if parts > 1:
        cut_batches(model, parts)
    return model


def _adapt(model: keras.Model, training: Split) -> None:
    """Gives a Normalization layer, where the model has one, the training images' mean and variance."""
    for layer in model.layers:
        if layer.name == "normalise":
            mean, variance = _mean_and_variance(training.images)
            layer.adapt_mean.assign(mean)
            layer.adapt_variance.assign(variance)
            layer.finalize_state()


def _mean_and_variance(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each channel of uint8 [N, H, W, 3]: float64 [3] each. Some images at a time: int64 takes memory."""
    total, squares = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for start in range(0, len(images), 64):
        pixels = images[start : start + 64].astype(np.int64)
        total += pixels.sum(axis=(0, 1, 2))
        squares += (pixels**2).sum(axis=(0, 1, 2))
    count = images.size // 3
    mean = total / count
    return mean, squares / count - mean**2


def training_batches(training: Split, spec: ImageSpec, recipe: Recipe, seed: int, classes: int) -> Any:
    import keras

    class Batches(keras.utils.PyDataset):
        """Shuffled and augmented batches, each a function of (seed, epoch, index) alone."""

        def __init__(self) -> None:
            super().__init__()
            self.start(0)

        def start(self, epoch: int) -> None:
            self.epoch = epoch
            self.order = np.random.default_rng((seed, epoch)).permutation(len(training))

        def __len__(self) -> int:
            return -(-len(training) // recipe.batch_size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            rng = np.random.default_rng((seed, self.epoch, index))
            chosen = self.order[index * recipe.batch_size : (index + 1) * recipe.batch_size]
            images = augment(training.images[chosen], spec.height, spec.width, recipe, rng)
            return images, np.eye(classes, dtype=np.float32)[training.labels[chosen]]

    return Batches()


def _starter(batches: Any) -> Any:
    """A callback that tells the batches which epoch begins; Keras's own calls of them do not say, and are more."""
    import keras

    return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.start(epoch))


def _validation_batches(split: Split, batch_size: int, classes: int) -> Any:
    import keras

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return -(-len(split) // batch_size)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            part = slice(index * batch_size, (index + 1) * batch_size)
            return split.images[part].astype(np.float32), np.eye(classes, dtype=np.float32)[split.labels[part]]

    return Batches()


def _keeper(
    model: keras.Model,
    average: WeightAverage,
    history: list[dict[str, float]],
    out: Path,
    identity: Any,
    card: Card,
    writes: bool = True,
) -> Any:
    """A callback that after every epoch keeps the best weights, the history and the state to resume from.

    Where the recipe averages weights, the averages are what is validated and kept. Of several workers one
    `writes`, but all read the variables, for reading those that replicas keep apart takes them all.
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
                    "Try a larger batch or another seed."
                )
            best = max((before["val_accuracy"] for before in history), default=-1.0)
            history.append(row)
            if row["val_accuracy"] > best:
                results = {
                    name: value for name, value in row.items() if name == "epoch" or name.startswith("val_")
                }
                if writes:
                    checkpoints.save(out, model, replace(card, results=results))
                else:
                    for weight in model.weights:
                        weight.numpy()
            average.take_out()
            state = TrainingState.of(model, identity, history, average.variables)
            if not writes:
                return
            write_text(out / HISTORY, _history_csv(history))
            _draw_curves(history, out / CURVES, f"{card.model} on {card.dataset['name']}")
            # The state goes last: a kill before it repeats this epoch, and repeats it the same.
            state.write(out / STATE)

    return Keeper()


def _identity(
    config: TrainConfig,
    spec: ImageSpec,
    dataset: Dataset,
    training: Split,
    recipe: Recipe,
    init: FirstWeights | None,
) -> dict[str, Any]:
    """What must not change between a training and its resumption; the number of epochs may."""
    how = {name: value for name, value in recipe.to_json().items() if name != "epochs"}
    return {
        "model": config.model,
        "image": spec.to_json(),
        "dataset": {"name": dataset.name, "version": dataset.version, "digest": training.digest},
        "seed": config.seed,
        "recipe": how,
        "init": init.digest if init is not None else None,
    }


def _card(
    config: TrainConfig,
    spec: ImageSpec,
    dataset: Dataset,
    training: Split,
    validation: Split,
    recipe: Recipe,
    init: FirstWeights | None,
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
        init=init.note if init is not None else None,
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
