"""Trains a model of the catalogue on a data set and leaves a checkpoint folder.

OUT/card.json, weights-*.safetensors the epoch with the best validation accuracy
OUT/pictures.safetensors             which pictures were trained on, and which chose the epoch
OUT/history.csv, curves.png          loss and accuracy of every epoch
OUT/training.safetensors             all that `resume` needs: the last epoch's weights, optimizer, random states
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vitconv.checkpoints import checkpoint as checkpoints
from vitconv.checkpoints import pictures
from vitconv.checkpoints.checkpoint import Checkpoint
from vitconv.checkpoints.pictures import SeenPictures
from vitconv.data.cuts import check_cut
from vitconv.data.datasets import Dataset, Split, open_dataset
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.pictures.pixels import Pixels
from vitconv.data.streamed import to_look_at
from vitconv.foundation.configs import check_types
from vitconv.foundation.disk.files import remove_leftovers, writable_directory
from vitconv.foundation.disk.writing import writing
from vitconv.foundation.errors import DatasetError, InputError, UnknownNameError
from vitconv.foundation.keras_settings import require_keras
from vitconv.foundation.memory import enough_memory
from vitconv.foundation.progress import Progress
from vitconv.models import catalogue
from vitconv.models.catalogue import ModelEntry, Recipe
from vitconv.training.card import identity_of, new_card
from vitconv.training.described import described
from vitconv.training.distributed.chief import chief_s_checkpoint, chief_s_state
from vitconv.training.distributed.distribution import STRATEGIES, Distribution, open_distribution
from vitconv.training.first_weights import FirstWeights
from vitconv.training.keeper import CURVES, HISTORY, keeper
from vitconv.training.network import new_model
from vitconv.training.precision import has_bfloat16
from vitconv.training.state import STATE, Setup, TrainingState
from vitconv.training.steps.batch_parts import parts_of
from vitconv.training.steps.batches import starter, training_batches, validation_batches
from vitconv.training.summary import ClassAccuracy, classes_of, no_better_than_guessing, what_differs
from vitconv.training.teacher import Teacher

_FILES = (checkpoints.CARD, checkpoints.WEIGHTS, pictures.FILE, STATE, HISTORY, CURVES)

logger = logging.getLogger("vitconv")


@dataclass(frozen=True)
class TrainConfig:
    """What to train. None means the recipe's, or the model's own image size, and the article's recipe.

    `image_size` is pixels a side, or height and width. `init` is a checkpoint of the same model, perhaps of
    another image size or other classes, or a safetensors file of timm's, whose weights to begin with.
    `seed` is 0 to 2³² − 1. `strategy` is one of `distribution.STRATEGIES`; `batch_size` counts the images of all
    its replicas together. `cut` is how to divide pictures that are in no split of their own (see `data.content`).
    `flip` None mirrors half of the images where the recipe does and the data set's labels survive it. `balance`
    shows as many images of every class in an epoch. `epoch_images` is how many images make one; None means all.
    `precision` is one of `precisions.PRECISIONS`. `teacher` is a trained classifier of the same classes whose
    answers are learnt from as well (see `training.teacher`).
    """

    model: str
    dataset: str
    out: Path
    image_size: int | tuple[int, int] | None = None
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    resume: bool = False
    recipe: str | None = None
    init: Path | None = None
    strategy: str = "none"
    cut: str | None = None
    flip: bool | None = None
    balance: bool = False
    learning_rate: float | None = None
    epoch_images: int | None = None
    precision: str | None = None
    teacher: Path | None = None

    def __post_init__(self) -> None:
        check_types(self)
        check_cut(self.cut)
        if self.strategy not in STRATEGIES:
            raise UnknownNameError("strategy", self.strategy, STRATEGIES)
        if self.teacher is not None and self.strategy != "none":
            raise InputError(f"a teacher and the strategy {self.strategy} do not go together. Leave one out.")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed must be from 0 to {2**32 - 1}, not {self.seed}.")

    def recipe_of(self, entry: ModelEntry) -> Recipe:
        """The model's recipe with what is given here in the place of its own; `flip` as asked for."""
        return entry.find_recipe(self.recipe).changed(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            flip=self.flip,
            balance=self.balance or None,
            epoch_images=self.epoch_images,
            precision=self.precision,
        )


@dataclass(frozen=True)
class TrainResult:
    """A finished training: the checkpoint, each epoch's figures, and each class's validation accuracy (of no class
    where several workers trained)."""

    checkpoint: Checkpoint
    history: tuple[Mapping[str, float], ...]
    classes: tuple[ClassAccuracy, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "checkpoint": str(self.checkpoint.path),
            "card": self.checkpoint.card.to_json(),
            "history": [dict(row) for row in self.history],
            "classes": [one.to_json() for one in self.classes],
        }


def train(config: TrainConfig, progress: Progress | None = None, verbose: int = 0) -> TrainResult:
    """Trains, epoch by epoch, and keeps the best weights by validation accuracy.

    With `config.resume`, goes on after the last whole epoch of an earlier call into the same folder; what it was
    called with then must not differ now, except for more epochs where the learning rate does not depend on
    their number. `verbose` is Keras's: 0 silent, 1 a progress bar, 2 a line an epoch. What a user should know goes
    to the logger "vitconv".

    With the strategy "multi-worker" every worker of TF_CONFIG calls this with the same config; the chief alone
    reads and writes `config.out` and shows progress, and all return the same. Where one stops, the others raise
    WorkerLostError.
    """
    entry = catalogue.find(config.model)
    spec = entry.spec(config.image_size)
    config.recipe_of(entry)
    require_keras()
    init = FirstWeights.open(config.init, config.model) if config.init is not None else None
    with enough_memory("Try a smaller batch or image size"):
        distribution = open_distribution(config.strategy)
        with distribution.watched():
            if not distribution.is_chief:
                progress, verbose = None, 0
            return _Training(config, entry, spec, init, distribution, progress, verbose).run()


class _Training:
    """One call of `train`."""

    def __init__(
        self,
        config: TrainConfig,
        entry: ModelEntry,
        spec: ImageSpec,
        init: FirstWeights | None,
        distribution: Distribution,
        progress: Progress | None,
        verbose: int,
    ) -> None:
        self.config, self.entry, self.spec, self.init = config, entry, spec, init
        self.distribution, self.progress, self.verbose = distribution, progress, verbose
        self.dataset = open_dataset(config.dataset, config.cut, progress)
        if "train" not in self.dataset.split_names or "validation" not in self.dataset.split_names:
            raise DatasetError(
                f"{self.dataset.name} has no pictures to train on, only a split called "
                f"{' and '.join(self.dataset.split_names)}. Add a folder train."
            )
        self.recipe = _flipped(config, entry, self.dataset)
        self.teacher = Teacher.open(config.teacher, self.dataset, progress) if config.teacher is not None else None

    def run(self) -> TrainResult:
        out = self.config.out
        if not self.distribution.is_chief:
            return self._run(None)
        writable_directory(out)
        with writing(out):
            return self._run(_earlier_state(out, self.config.resume))

    def _run(self, resumed: TrainingState | None) -> TrainResult:
        config, recipe, spec, distribution = self.config, self.recipe, self.spec, self.distribution
        training = self.dataset.split("train", recipe.prepared(spec), self.progress)
        validation = self.dataset.split("validation", spec, self.progress)
        an_epoch = recipe.images_an_epoch(len(training))
        distribution.check_batch(recipe.batch_size, min(an_epoch, len(validation)))
        if distribution.is_chief:
            mirrored = recipe.flip or not config.recipe_of(self.entry).flip
            for sentence in what_differs(self.dataset, training, validation, mirrored):
                logger.warning(sentence)
            if recipe.precision == "bfloat16" and not has_bfloat16():
                logger.warning(
                    "this machine has no bfloat16 arithmetic, so that training in bfloat16 takes longer than in "
                    "float32. Leave out --precision here."
                )
        reporting = self._reporting(validation)
        identity = identity_of(
            config.model, config.seed, spec, self.dataset, training, recipe, self.init, self.teacher
        )
        if resumed is not None:
            resumed.check(identity, self._changed_pictures())
        resumed = chief_s_state(distribution, identity, resumed)
        history = resumed.history if resumed is not None else []
        if len(history) < recipe.epochs:
            self._fit(training, validation, reporting, self._setup(identity, resumed), resumed, history)
        checkpoint = chief_s_checkpoint(distribution, config.out)
        if distribution.cluster is None:
            checkpoint = described(checkpoint, validation, reporting, self.progress)
        if distribution.is_chief and (
            words := no_better_than_guessing(validation, checkpoint.card.results, recipe.flip)
        ):
            logger.warning(words)
        if checkpoint.card.liveness is not None and checkpoint.card.liveness.silent:
            logger.warning(checkpoint.card.liveness.sentence())
        return TrainResult(checkpoint, tuple(history), classes_of(checkpoint.card))

    def _reporting(self, validation: Split) -> Split:
        """What accuracy is reported on at the end: the test split where there is one. Its pictures are decoded
        now, so that one that cannot be read stops no training that is nearly done."""
        name = self.dataset.evaluation_name
        if name == validation.name or self.distribution.cluster is not None:
            return validation
        return self.dataset.split(name, self.spec, self.progress)

    def _setup(self, identity: Mapping[str, Any], resumed: TrainingState | None) -> Setup:
        """As it was where a training goes on: other parts would draw other numbers for dropout."""
        replicas = self.distribution.replicas
        if resumed is not None and resumed.setup.replicas == replicas:
            return replace(resumed.setup, identity=identity)
        if resumed is not None:
            logger.warning(
                f"this training ran on {resumed.setup.replicas} replicas, and goes on with {replicas}: the random "
                "changes to its images and its dropout will not be those of a training that was never stopped."
            )
        parts = parts_of(self.entry, self.recipe) if self.distribution.strategy is None else 1
        return Setup(identity, parts, replicas)

    def _fit(
        self,
        training: Split,
        validation: Split,
        reporting: Split,
        setup: Setup,
        resumed: TrainingState | None,
        history: list[dict[str, float]],
    ) -> None:
        from vitconv.training.steps.averaging import WeightAverage

        config, recipe, distribution, out = self.config, self.recipe, self.distribution, self.config.out
        classes, first = len(self.dataset.labels), len(history)
        pixels = Pixels.of(to_look_at(training.images))
        with distribution.scope():
            model = new_model(
                self.entry, self.spec, classes, training, pixels, recipe, config.seed, self.init, setup.parts
            )
        average = WeightAverage(model, recipe.average, distribution.strategy)
        if resumed is not None:
            resumed.restore(model, average.variables)
        else:
            # So that a stop in the first epoch, its best weights already kept, can be resumed like any other.
            state = TrainingState.of(model, setup, history, average.variables)
            if distribution.is_chief:
                state.write(out / STATE)
        seen = SeenPictures(self.dataset.pictures(self.progress)).write(out) if distribution.is_chief else None
        card = new_card(
            config.model,
            config.seed,
            self.spec,
            self.dataset,
            training,
            validation,
            reporting,
            recipe,
            self.init,
            self.teacher,
            pixels,
            seen,
        )
        keeps = keeper(model, average, history, out, setup, card, distribution.is_chief)
        if distribution.strategy is not None:
            from vitconv.training.distributed.trainer import Trainer

            trainer = Trainer(model, average, distribution, recipe, self.spec, classes)
            trainer.fit(training, validation, config.seed, first, keeps, self.verbose)
            return
        batches = training_batches(training, self.spec, recipe, config.seed, classes, self.teacher)
        model.fit(
            batches,
            initial_epoch=first,
            epochs=recipe.epochs,
            validation_data=validation_batches(validation, recipe.batch_size, classes),
            callbacks=[starter(batches), keeps],
            verbose=self.verbose,
            shuffle=False,
        )

    def _changed_pictures(self) -> list[str]:
        """What has become of the pictures since the training that is to go on, where it says which it had."""
        before = SeenPictures.read(self.config.out / pictures.FILE)
        now = self.dataset.pictures(self.progress)
        found = before.changes(now) if before is not None and before.has_any_of(now) else []
        return [f"pictures {change}" for change in found]


def _flipped(config: TrainConfig, entry: ModelEntry, dataset: Dataset) -> Recipe:
    """The recipe, without mirrored images where the data set's labels do not survive that."""
    recipe = config.recipe_of(entry)
    if config.flip is None and recipe.flip and not dataset.mirrored_keeps_label:
        return recipe.changed(flip=False)
    return recipe


def _earlier_state(out: Path, resume: bool) -> TrainingState | None:
    """What to go on from. Raises InputError where the folder holds what must not be overwritten."""
    state = TrainingState.read(out / STATE) if resume else None
    if state is None and (out / checkpoints.CARD).exists():
        if resume:
            raise InputError(f"{out} holds a checkpoint, but no {STATE} to resume from. Give another --out.")
        raise InputError(
            f"{out} already holds a checkpoint. Give another --out, or --resume to continue its training."
        )
    remove_leftovers(out, _FILES)
    return state
