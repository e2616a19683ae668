"""Dropout with one random byte an element.

Keras's own draws a 32-bit float an element, and on a CPU that is a quarter of an attention layer's training time:
the map of 1,024 × 1,024 weights is most of what there is to drop. A byte is drawn four times as fast.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from vitconv.models.layers.seeds import next_seed


@keras.saving.register_keras_serializable("vitconv")
class Dropout(keras.layers.Layer):
    """Sets elements to zero with probability `rate`, rounded to 1/256, and scales the others to keep the mean.

    x: float of any shape → the same. Does nothing outside training.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be at least 0 and below 1, not {rate}")
        self.set_rate(rate)
        if self._dropped:
            self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def set_rate(self, rate: float) -> None:
        """Changes the rate, before a training step is traced. A layer made with the rate 0 stays at it."""
        self.rate = rate
        self._dropped = round(rate * 256)  # of 256 byte values
        self.scale = 256 / (256 - self._dropped)

    def call(self, x: Any, training: bool = False) -> Any:
        kept = self.kept(tf.shape(x), x.dtype) if training else None
        return x if kept is None else x * (kept * self.scale)

    def kept(self, shape: Any, dtype: Any) -> Any:
        """1 where an array of that shape (int32 [rank]) keeps its elements, else 0: [*shape] of that dtype,
        another one at each call; None at the rate 0. What is kept is to be multiplied by `scale`."""
        if not self._dropped:
            return None
        size = tf.reduce_prod(shape)
        words = tf.random.stateless_uniform(
            [(size + 3) // 4], next_seed(self.seed_generator), minval=None, maxval=None, dtype=tf.int32
        )
        random_bytes = tf.reshape(tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:size], shape)
        return tf.cast(random_bytes >= self._dropped, dtype)  # a product takes half a selection's time

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}
