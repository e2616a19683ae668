"""Normalisations: of tokens over their channels, and of attention maps.

A layer's weights are always those of the published formulation. What it computes with them may be rearranged by
algebra: `forms.current_form()` says which arrangement to write, and tests hold each against the published one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from vitconv.models.forms import current_form
from vitconv.models.layers import gradients
from vitconv.models.layers.token_stream import writes_centred
from vitconv.models.layers.transformer_layer import TransformerLayer, product

_TINY = 1e-6  # keeps logarithms finite where all is zero
_EPSILON = 1e-9  # in the divisor of external attention, as published
SCALE = 8.0  # a sum of 16 units' weights is at most half of what 16 bits hold, with 256 tokens
_LEAST_NORMAL = 2.0**-14  # what is smaller is 0 on many GPUs
_OCTAVE = 7.0  # what a value in eight bits from 0 to 6, plus 1, reaches


def normalise(x: Any, epsilon: float, training: bool = False, centred: bool = False) -> Any:
    """Layer normalisation without its γ and β: (x − mean) / √(variance + ε).

    x: float [..., C] → float [..., C]. The "magnitudes" form leaves ε out, which matters only where the variance
    is tiny; a row of zeros stays one. `centred` says that x has the mean 0 already.
    """
    if training:  # in 32 bits, whatever x is in: eight digits of bfloat16 do not hold a variance
        return tf.cast(gradients.normalise(tf.cast(x, tf.float32), epsilon), x.dtype)
    if current_form().layer_norm == "moments":
        around = x if centred else x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(around), axis=-1, keepdims=True)
        return around * ops.rsqrt(variance + epsilon)
    # Products with a constant rather than means: in integers a kernel's product has an operator in XNNPACK, and is
    # added up in 32 bits.
    channels = x.shape[-1]
    mean = np.full((channels, 1), 1 / channels, np.float32)
    return unit_by_magnitudes(x if centred else x - product(x, mean), lambda values: product(values, mean))


def unit_by_magnitudes(x: Any, mean: Callable[[Any], Any]) -> Any:
    """x over the root of its mean square, of any shape. Eight bits do not hold a square beside small values: x is
    divided by its mean magnitude first."""
    magnitude = mean(tf.nn.leaky_relu(x, alpha=-1.0)) + _TINY  # the mean of |x|
    near = x * ops.exp(ops.log(magnitude) * -1.0)
    square = mean(near * near) + _TINY
    return near * ops.exp(ops.log(square) * -0.5)


def attended(query: Any, key: Any, value: Any) -> Any:
    """The values' mean, weighted by the softmax of their keys' products with a query: Σ_m softmax(q · k)_nm · v_m.

    query: float [..., N, C], key: float [..., M, C], value: float [..., M, D] → float [..., N, D].
    """
    scores = tf.matmul(query, key, transpose_b=True)
    if current_form().softmax == "fused":
        return tf.matmul(tf.nn.softmax(scores), value)
    mean = tf.matmul(query, _mean_of_tokens(key), transpose_b=True)  # of each row of scores
    weights = exp_by_table(scores - shift_of(scores, mean))
    return tf.matmul(weights, value) * ops.exp(minus_log_of_sum(weights))


def _mean_of_tokens(x: Any) -> Any:
    """float [B, ..., M, C] → [B, ..., 1, C], as a mean of pixels, of which XNNPACK has an operator."""
    *outer, tokens, channels = x.shape[1:]
    mean = tf.reduce_mean(ops.reshape(x, (-1, tokens, 1, channels)), (1, 2), keepdims=True)
    return ops.reshape(mean, (-1, *outer, 1, channels))


def shift_of(scores: Any, mean: Any) -> Any:
    """What is subtracted from the scores of a row: float [..., N, M] and their means [..., N, 1] → [..., N, 1], no
    less than their maximum.

    Softmax is the same whatever it is. With the maximum alone a row's weights would sum to anything from 1 to M,
    and eight bits cannot hold both a weighted sum of values of the one row and of the other. So half the
    logarithm of that sum goes into the shift, as it would be if the scores were normally distributed: with the
    distance d from their mean to their maximum, √(2 ln M) deviations, it is (ln M − d/2)² / ln M up to d = 2 ln M.
    However they are distributed, the weights' sum is at least 1 and at least M e⁻ᵈ (Jensen) before that is
    subtracted, so that afterwards no sum is below M^(−1/8), which is where d is ln M.
    """
    peak = ops.max(scores, axis=-1, keepdims=True)
    if scores.shape[-1] == 1:
        return peak
    log_count = math.log(scores.shape[-1])
    rest = tf.nn.relu(log_count - 0.5 * (peak - mean))
    return peak + rest * rest * (0.5 / log_count)


def minus_log_of_sum(weights: Any) -> Any:
    """−log Σ over the last axis of float [..., M], values from 0 to 1 whose sum is at least M^(−1/8) → [..., 1].

    In units of that least sum, a sum s is the product of s between 1 and 7, s/7 between 1 and 7, s/49 …: each of
    these factors has eight bits of its own. One number for all would have steps as large as the smallest sums.
    """
    count = weights.shape[-1]
    least = count**-0.125
    octaves = max(1, math.ceil(math.log(count / least, _OCTAVE)))
    shares = np.tile(_OCTAVE ** -np.arange(octaves) / least, (count, 1)).astype(np.float32)
    factors = tf.nn.relu6(product(weights, shares) - 1.0) + 1.0
    return product(ops.log(factors), -np.ones((octaves, 1), np.float32)) - math.log(least)


def exp_by_table(x: Any) -> Any:
    """eˣ of x ≤ 0, float of any shape: ELU is eˣ − 1 there, and in integers a table that XNNPACK has; of EXP it
    has none. Where eˣ is small its last digits are lost, which eight bits have no room for anyway."""
    return tf.nn.elu(x) + 1.0


def _exp_by_sigmoid(x: Any) -> Any:
    """eˣ of x ≤ 0, float of any shape, to the last digits and by operators that XNNPACK has: σ(x) / (1 − σ(x))."""
    share = tf.sigmoid(x)
    return share / (1.0 - share)


def double_normalise(scores: Any) -> Any:
    """External attention's two normalisations: softmax over the tokens (axis 1), then divided by the sum over the
    memory units (axis 2).

    scores: float [B, N, units, h] → float of the same shape, each sum over units being 1.
    """
    if current_form().double_norm == "scaled":
        return double_normalise_scaled(scores) * SCALE
    tokens, units, heads = scores.shape[1:]
    # Maxima and means over pixels, as which the tokens stand here, have operators in XNNPACK; over any axis, none.
    flat = ops.reshape(scores, (-1, tokens, 1, units * heads))
    peak = tf.nn.max_pool2d(flat, (tokens, 1), 1, "VALID")
    if current_form().double_norm == "divide":
        raised = _exp_by_sigmoid(flat - peak)
        weights = raised / (tokens * tf.reduce_mean(raised, (1, 2), keepdims=True))
        weights = ops.reshape(weights, (-1, tokens, units, heads))
        return weights / (_EPSILON + units * tf.nn.avg_pool2d(weights, (1, units), 1, "VALID"))
    below = flat - peak
    mean = tf.reduce_mean(exp_by_table(below), (1, 2), keepdims=True)
    logs = ops.reshape(below - ops.log(mean), (-1, tokens, units, heads))
    raised = exp_by_table(logs - tf.nn.max_pool2d(logs, (1, units), 1, "VALID"))
    over_units = np.tile(np.eye(heads, dtype=np.float32), (units, 1))
    sums = product(ops.reshape(raised, (-1, tokens, 1, units * heads)), over_units)
    return raised * ops.exp(ops.log(sums) * -1.0)


def double_normalise_scaled(scores: Any) -> Any:
    """`double_normalise` over SCALE, for float files.

    Published, the weights of a token that is like no memory unit are all so small that 16 bits, as GPUs have them,
    round them to 0, and their sum with them. So numbers are larger here, and the sum is not less than what GPUs
    can tell from 0.
    """
    tokens, units, heads = scores.shape[1:]
    flat = ops.reshape(scores, (-1, tokens, 1, units * heads))
    raised = _exp_by_sigmoid(flat - tf.nn.max_pool2d(flat, (tokens, 1), 1, "VALID"))
    weights = raised / tf.reduce_mean(raised, (1, 2), keepdims=True)  # `tokens` times as large as published
    weights = ops.reshape(weights, (-1, tokens, units, heads))
    mean = tf.nn.avg_pool2d(weights, (1, units), 1, "VALID")
    return weights / ops.maximum(SCALE * units * mean + SCALE * tokens * _EPSILON, _LEAST_NORMAL)


@keras.saving.register_keras_serializable("vitconv")
class LayerNorm(TransformerLayer):
    """Layer normalisation over the last axis: γ · (x − mean) / √(variance + ε) + β.

    x: float [..., C] → float [..., C]. `token_stream` says that x comes out of one (see models.token_stream).
    """

    def __init__(self, epsilon: float, token_stream: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.token_stream = token_stream

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.gamma, self.beta = self.add_norm(input_shape[-1])

    def call(self, x: Any, training: bool = False) -> Any:
        centred = self.token_stream and writes_centred(training)
        return normalise(x, self.epsilon, training, centred) * self.gamma + self.beta

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon, "token_stream": self.token_stream}
