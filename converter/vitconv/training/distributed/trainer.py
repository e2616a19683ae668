"""The training loop under a strategy of tf.distribute.

Keras's own `fit` is not used here: under MultiWorkerMirroredStrategy, Keras 3.15 fails in it before the first step
(it has the strategy average a tuple), and in evaluation (it averages scalars over their first axis).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from vitconv.data.datasets import Split
from vitconv.data.pictures.images import ImageSpec
from vitconv.models.catalogue import Recipe
from vitconv.training.distributed.distribution import Distribution
from vitconv.training.steps.augmentation import augment
from vitconv.training.steps.averaging import WeightAverage
from vitconv.training.steps.batches import epoch_order

if TYPE_CHECKING:
    from collections.abc import Callable

Share = tuple[np.ndarray, np.ndarray, np.float32]


def batch_starts(images: int, batch_size: int, replicas: int) -> list[int]:
    """Where each batch of an epoch starts. The rest is a batch of its own, but for one too small to give every
    replica an image, which goes with the batch before it."""
    starts = list(range(0, images, batch_size))
    if len(starts) > 1 and images - starts[-1] < replicas:
        starts.pop()
    return starts


class Trainer:
    """A compiled network's steps, shared among replicas.

    A step's gradient is that of the mean loss over the images of all replicas, so that it is the same however many
    share them. Batch norm's statistics are each replica's own, over its part of the batch; their moving means are
    averaged over replicas where they are evaluated or kept. Dropout differs between replicas.
    """

    def __init__(
        self,
        model: keras.Model,
        average: WeightAverage,
        distribution: Distribution,
        recipe: Recipe,
        spec: ImageSpec,
        classes: int,
    ) -> None:
        self._model = model
        self._average = average
        self._distribution = distribution
        self._recipe = recipe
        self._spec = spec
        self._classes = classes
        strategy = distribution.strategy
        with strategy.scope():
            # Sums of loss, right answers, right ones among the first five, and images, each replica's own.
            self._sums = tf.Variable(
                tf.zeros(4),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
        # Given the iterator, whose batches may be of any size, rather than a batch: traced once.
        self._train = tf.function(lambda shares: strategy.run(self._train_step, args=next(shares)))
        self._test = tf.function(lambda shares: strategy.run(self._test_step, args=next(shares)))

    def fit(self, training: Split, validation: Split, seed: int, first: int, keeper: Any, verbose: int) -> None:
        """Trains from epoch `first` on, and tells `keeper`, a Keras callback, what `keras.Model.fit` would.

        `verbose` is Keras's: 0 silent, 1 a progress bar, 2 a line an epoch.
        """
        replicas, size = self._distribution.replicas, self._recipe.batch_size
        starts = batch_starts(self._recipe.images_an_epoch(len(training)), size, replicas)
        test_starts = batch_starts(len(validation), size, replicas)
        train_shares = self._shares(lambda numbers: self._training_shares(training, starts, seed, first, numbers))
        test_shares = self._shares(lambda numbers: self._validation_shares(validation, test_starts, numbers))
        for epoch in range(first, self._recipe.epochs):
            if verbose:
                print(f"Epoch {epoch + 1}/{self._recipe.epochs}", file=sys.stdout)
            bar = keras.utils.Progbar(len(starts), verbose=verbose, unit_name="step")
            self._sums.assign(tf.zeros(4))
            for step in range(len(starts)):
                self._train(train_shares)
                keeper.on_train_batch_end(step)
                if step + 1 < len(starts):
                    bar.update(step + 1, finalize=False)
            logs = self._results("")
            self._distribution.settle(
                [*(weight.value for weight in self._model.weights), *self._average.variables]
            )
            keeper.on_test_begin()
            self._sums.assign(tf.zeros(4))
            for _ in test_starts:
                self._test(test_shares)
            logs |= self._results("val_")
            bar.update(len(starts), list(logs.items()), finalize=True)
            keeper.on_epoch_end(epoch, logs)

    def _results(self, prefix: str) -> dict[str, float]:
        loss, right, right5, images = np.asarray(self._sums.read_value(), np.float64)
        means = {"accuracy": right / images, "loss": loss / images, "top5": right5 / images}
        return {prefix + name: float(value) for name, value in means.items()}

    def _train_step(self, images: Any, labels: Any, all_images: Any) -> None:
        """On one replica. images: float32 [n, H, W, 3], labels: [n, classes], all_images: of all replicas' n."""
        model = self._model
        with tf.GradientTape() as tape:
            probabilities = model(images, training=True)
            loss = tf.reduce_sum(self._count(labels, probabilities)) / all_images
        weights = model.trainable_weights
        # Keras's optimizers sum the gradients over replicas.
        model.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    def _test_step(self, images: Any, labels: Any, all_images: Any) -> None:
        self._count(labels, self._model(images, training=False))

    def _count(self, labels: Any, probabilities: Any) -> Any:
        """Adds to the sums, and gives each image's loss, float32 [n]."""
        losses = keras.losses.categorical_crossentropy(
            labels, probabilities, label_smoothing=self._recipe.label_smoothing
        )
        right = keras.metrics.categorical_accuracy(labels, probabilities)
        right5 = keras.metrics.top_k_categorical_accuracy(labels, probabilities, k=5)
        columns = [losses, right, right5, tf.ones_like(losses)]
        self._sums.assign_add(tf.stack([tf.reduce_sum(tf.cast(column, tf.float32)) for column in columns]))
        return losses

    def _shares(self, local: Callable[[list[int]], Iterator[Share]]) -> Iterator[Any]:
        signature = (
            tf.TensorSpec((None, *self._spec.shape), tf.float32),
            tf.TensorSpec((None, self._classes), tf.float32),
            tf.TensorSpec((), tf.float32),
        )
        return self._distribution.batches(local, signature)

    def _training_shares(
        self, training: Split, starts: list[int], seed: int, first: int, numbers: list[int]
    ) -> Iterator[Share]:
        """Of the replicas `numbers` in turn, from epoch `first` on without end: each a function of (seed, epoch,
        index, replica) alone. The order of the images is that of a training without a strategy."""
        replicas = self._distribution.replicas
        epoch = first
        while True:
            order = epoch_order(training.labels, self._recipe, seed, epoch)
            for index, (start, end) in enumerate(zip(starts, [*starts[1:], len(order)], strict=True)):
                batch = order[start:end]
                for number in numbers:
                    rng = np.random.default_rng((seed, epoch, index, number))
                    chosen = batch[number::replicas]
                    images = augment(
                        training.images[chosen], self._spec.height, self._spec.width, self._recipe, rng
                    )
                    labels = np.eye(self._classes, dtype=np.float32)[training.labels[chosen]]
                    yield images, labels, np.float32(len(batch))
            epoch += 1

    def _validation_shares(self, validation: Split, starts: list[int], numbers: list[int]) -> Iterator[Share]:
        """Of the replicas `numbers` in turn, over and over again."""
        replicas = self._distribution.replicas
        while True:
            for start, end in zip(starts, [*starts[1:], len(validation)], strict=True):
                for number in numbers:
                    part = slice(start + number, end, replicas)
                    labels = np.eye(self._classes, dtype=np.float32)[validation.labels[part]]
                    yield validation.images[part].astype(np.float32), labels, np.float32(end - start)
