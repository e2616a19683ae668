"""A moving average of a model's weights, batch norm's statistics included (Polyak & Juditsky, 1992)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    import keras


class WeightAverage:
    """Follows `model.weights`: after each step, average ← d · average + (1 − d) · weight.

    d is `decay`, but (1 + steps) / (10 + steps) while that is smaller, so that the first, random weights are soon
    forgotten. With a decay of 0 it does nothing and has no variables.

    Under a `strategy` (tf.distribute) each replica averages what it has itself, batch norm's statistics of its own
    images included, and reading gives the mean over replicas.
    """

    def __init__(self, model: keras.Model, decay: float, strategy: Any = None) -> None:
        self._weights = [w.value for w in model.weights if "float" in w.dtype] if decay else []
        if strategy is None:
            self._averages = [tf.Variable(weight, trainable=False) for weight in self._weights]
            self._steps = tf.Variable(0.0, trainable=False)
            update = self._updated
        else:
            with strategy.scope():
                self._averages = [_per_replica(weight.numpy()) for weight in self._weights]
                self._steps = _per_replica(0.0)
            update = partial(strategy.run, self._updated)
        self._decay = decay
        self._set_aside: list[np.ndarray] | None = None
        self._update = tf.function(update, jit_compile=False)

    @property
    def variables(self) -> list[Any]:
        """All that must be kept to go on."""
        return [self._steps, *self._averages] if self._averages else []

    def update(self) -> None:
        """To be called after every training step."""
        if self._averages:
            self._update()

    def _updated(self) -> None:
        self._steps.assign_add(1.0)
        decay = tf.minimum(self._decay, (1 + self._steps) / (10 + self._steps))
        for average, weight in zip(self._averages, self._weights, strict=True):
            average.assign_add((1 - decay) * (weight - average))

    def put_in(self) -> None:
        """Gives the model the averages; `take_out` gives it its own weights back."""
        if self._averages and self._set_aside is None:
            self._set_aside = [weight.numpy() for weight in self._weights]
            _assign(self._weights, self._averages)

    def take_out(self) -> None:
        """Undoes `put_in`."""
        if self._set_aside is not None:
            _assign(self._weights, self._set_aside)
            self._set_aside = None


def _per_replica(value: Any) -> Any:
    return tf.Variable(
        value,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.MEAN,
    )


def _assign(variables: list[Any], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
