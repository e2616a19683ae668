"""Batch normalisation by TensorFlow's one fused operation while training.

Keras writes it out in some twenty operations, forward and back, each a pass over the feature map.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from vitconv.models.layers.fake_quantization import fake_quantized


@keras.saving.register_keras_serializable("vitconv")
class BatchNorm(keras.layers.BatchNormalization):
    """keras.layers.BatchNormalization over the last axis: the same weights, result and moving statistics.

    x: float [B, H, W, C] → the same. Outside training it is Keras's own graph. `fake_quantization` rounds the
    result while training.
    """

    fake_quantization = False

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not training or not self.trainable:
            return super().call(inputs, training=training, mask=mask)
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma,
            offset=self.beta,
            mean=tf.constant([], tf.float32),
            variance=tf.constant([], tf.float32),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The fused operation divides by one less than the number of values, Keras by their number.
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        self._follow(self.moving_mean, mean)
        self._follow(self.moving_variance, variance * ((count - 1) / count))
        return fake_quantized(y) if self.fake_quantization else y

    def _follow(self, moving: Any, now: Any) -> None:
        moving.assign(moving * self.momentum + now * (1 - self.momentum))
