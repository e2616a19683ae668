"""Normalisations: of tokens over their channels, and of attention maps.

A layer's weights are always those of the published formulation. What it computes with them may be rearranged by
algebra: `forms.current_form()` says which arrangement to write, and tests hold each against the published one.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from vitconv.models import gradients
from vitconv.models.forms import current_form
from vitconv.models.transformer_layer import TransformerLayer


_TINY = 1e-6


def normalise(x: Any, epsilon: float, training: bool = False) -> tuple[Any, float]:
    """Layer normalisation without its γ and β, as (u, s): (x − mean) / √(variance + ε) = s · u.

    x: float [..., C] → u: float [..., C], and the constant s, which belongs into the weights that follow. In the
    "l2" form u has length 1 over C, s is √C, and ε is left out, which matters only where the variance is tiny.
    """
    if training:
        return gradients.normalise(x, epsilon), 1.0
    channels = x.shape[-1]
    if current_form().layer_norm == "l2":
        matrix = np.eye(channels, dtype=np.float32) - np.float32(1 / channels)
        centred = ops.matmul(x, matrix)
        ones = np.full((channels, 1), 1 / channels, np.float32)
        size = ops.matmul(tf.nn.leaky_relu(centred, alpha=-1.0), ones) + _TINY
        near = centred * ops.exp(ops.log(size) * -1.0)
        square = ops.matmul(near * near, ones) + _TINY
        return near * ops.exp(ops.log(square) * -0.5), 1.0
    centred = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    return centred * ops.rsqrt(variance + epsilon), 1.0


def softmax_mean(scores: Any, values: Any) -> Any:
    """Σ_m softmax(scores)_nm · values_m, the softmax over the last axis.

    scores: float [..., N, M], values: float [..., M, C] → float [..., N, C].
    """
    if current_form().softmax == "fused":
        return tf.matmul(tf.nn.softmax(scores), values)
    count = scores.shape[-1]
    log_count = max(1.0, math.log(count))
    peak = ops.max(scores, axis=-1, keepdims=True)
    level = ops.matmul(scores, np.full((count, 1), 1 / count, np.float32))
    flat = tf.nn.relu(log_count - 0.5 * (peak - level))
    shift = peak + flat * flat * (0.5 / log_count)
    weights = exp_of_negative(scores - shift)
    return tf.matmul(weights, values) * ops.exp(minus_log_of_sum(weights))


_OCTAVE = 7.0


def minus_log_of_sum(weights: Any) -> Any:
    """−log Σ over the last axis, of values from 0 to 1 whose sum is 1 or more."""
    count = weights.shape[-1]
    octaves = max(1, math.ceil(math.log(count, _OCTAVE)))
    shares = np.tile(_OCTAVE ** -np.arange(octaves), (count, 1)).astype(np.float32)
    inside = tf.nn.relu6(ops.matmul(weights, shares) - 1.0) + 1.0
    return ops.matmul(ops.log(inside), -np.ones((octaves, 1), np.float32))


def exp_of_negative(x: Any) -> Any:
    """eˣ of x ≤ 0, float of any shape, by operators that XNNPACK has: of EXP it has none."""
    if current_form().softmax == "fused":
        share = tf.sigmoid(x)
        return share / (1.0 - share)
    return tf.nn.elu(x) + 1.0


def softmax(x: Any) -> Any:
    """Softmax over the last axis: float [..., N] → the same shape, each row summing to 1."""
    if current_form().softmax == "fused":
        return tf.nn.softmax(x)
    x -= ops.max(x, axis=-1, keepdims=True)
    # The factor 1/N, taken back after the logarithm, hides the formula from the converter, which would make one
    # slower LOG_SOFTMAX of it. Not ops.mean: for an integer MEAN over the last axis, TFLite 2.16.1 takes 89
    # instructions an element on arm64, and 1 for a SUM.
    mean = ops.sum(ops.exp(x), axis=-1, keepdims=True) * (1 / x.shape[-1])
    return ops.exp(x - (ops.log(mean) + math.log(x.shape[-1])))


def double_normalise(scores: Any) -> Any:
    """External attention's two normalisations: softmax over the tokens (axis 1), then divided by the sum over the
    memory units (axis 2).

    scores: float [B, N, units, h] → float of the same shape, each sum over units being 1.
    """
    tokens, units, heads = scores.shape[1:]
    flat = ops.reshape(scores, (-1, tokens, 1, units * heads))
    peak = tf.nn.max_pool2d(flat, (tokens, 1), (1, 1), "VALID")
    raised = exp_of_negative(flat - peak)
    mean = tf.reduce_mean(raised, (1, 2), keepdims=True)
    if current_form().double_norm == "logsumexp":
        logs = ops.reshape(flat - (peak + ops.log(mean)), (-1, tokens, units, heads))
        logs -= tf.nn.max_pool2d(logs, (1, units), (1, 1), "VALID")
        raised = exp_of_negative(logs)
        in_place = np.tile(np.eye(heads, dtype=np.float32), (units, 1))  # sums over the units, by head
        sums = ops.matmul(ops.reshape(raised, (-1, tokens, 1, units * heads)), in_place)
        return raised * ops.exp(ops.log(sums) * -1.0)
    weights = ops.reshape(raised / (mean * tokens), (-1, tokens, units, heads))
    return weights / (1e-9 + units * tf.nn.avg_pool2d(weights, (1, units), (1, 1), "VALID"))


@keras.saving.register_keras_serializable("vitconv")
class LayerNorm(TransformerLayer):
    """Layer normalisation over the last axis: γ · (x − mean) / √(variance + ε) + β.

    x: float [..., C] → float [..., C].
    """

    def __init__(self, epsilon: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.gamma, self.beta = self.add_norm(input_shape[-1])

    def call(self, x: Any, training: bool = False) -> Any:
        unit, scale = normalise(x, self.epsilon, training)
        return unit * (self.gamma * scale) + self.beta

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}
