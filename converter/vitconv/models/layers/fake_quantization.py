"""Layers that can round what they give to eight bits while training, so that a network learns to live with it.

Quantization-aware training with simulated ("fake") quantization (Jacob et al., 2018, "Quantization and Training of
Neural Networks for Efficient Integer-Arithmetic-Only Inference"): forward, an activation takes one of 256 values
between the batch's extremes; backward, the gradient passes as if it had not. The weights and the exported graph
are those of the layer without.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from vitconv.models.layers import gradients


def fake_quantized(x: Any) -> Any:
    """x: float, any shape → the same, rounded to 256 equal steps between its extremes, 0 among them."""
    wide = tf.cast(x, tf.float32)
    low = tf.minimum(tf.stop_gradient(tf.reduce_min(wide)), 0.0)
    high = tf.maximum(tf.stop_gradient(tf.reduce_max(wide)), 0.0)
    return tf.cast(tf.quantization.fake_quant_with_min_max_vars(wide, low, high, num_bits=8), x.dtype)


@keras.saving.register_keras_serializable("vitconv")
class Swish(layers.Layer):
    """x · σ(x): float, any shape → the same. `fake_quantization` rounds it while training."""

    fake_quantization = False

    def call(self, x: Any, training: bool = False) -> Any:
        y = gradients.swish(x)
        return fake_quantized(y) if training and self.fake_quantization else y


@keras.saving.register_keras_serializable("vitconv")
class Add(layers.Layer):
    """The sum of two inputs of one shape: float, any. `fake_quantization` rounds it while training."""

    fake_quantization = False

    def call(self, inputs: tuple[Any, Any], training: bool = False) -> Any:
        y = ops.add(*inputs)
        return fake_quantized(y) if training and self.fake_quantization else y
