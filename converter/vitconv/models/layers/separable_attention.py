"""The layers of MobileViTv2's transformers: separable self-attention, and a normalisation of the whole map.

A layer's weights are always those of the published formulation. What it computes with them may be rearranged by
algebra: `forms.current_form()` says which arrangement to write, and tests hold each against the published one.

Tokens are float [B, N, P, C]: N patches of P = 4 pixels each. A pixel is mixed with those at its own place in the
other patches.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from vitconv.models.forms import current_form
from vitconv.models.layers.normalisation import exp_by_table, minus_log_of_sum, shift_of, unit_by_magnitudes
from vitconv.models.layers.transformer_layer import Attention, TransformerLayer, product


@keras.saving.register_keras_serializable("vitconv")
class PatchTokens(layers.Layer):
    """A map's pixels by patches of 2×2: float [B, H, W, C] → [B, H·W/4, 4, C]. `PatchMap` undoes it."""

    def call(self, x: Any) -> Any:
        _, height, width, channels = x.shape
        x = tf.nn.space_to_depth(x, 2)  # [B, H/2, W/2, 4·C], the pixels of a patch row by row
        return ops.reshape(x, (-1, height * width // 4, 4, channels))


@keras.saving.register_keras_serializable("vitconv")
class PatchMap(layers.Layer):
    """Puts the pixels of patches back in their places: float [B, H·W/4, 4, C] → [B, H, W, C]."""

    def __init__(self, height: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height = height
        self.width = width

    def call(self, x: Any) -> Any:
        x = ops.reshape(x, (-1, self.height // 2, self.width // 2, 4 * x.shape[-1]))
        return tf.nn.depth_to_space(x, 2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "height": self.height, "width": self.width}


@keras.saving.register_keras_serializable("vitconv")
class MapNorm(TransformerLayer):
    """γ · (x − mean) / √(variance + ε) + β with one mean and one variance of the whole map: group normalisation
    (Wu & He, 2018) with one group.

    x: float [B, N, P, C] → the same. The "magnitudes" form leaves ε out, which matters only where the variance is
    tiny.
    """

    def __init__(self, epsilon: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.gamma, self.beta = self.add_norm(input_shape[-1])

    def call(self, x: Any, training: bool = False) -> Any:
        return self._unit(x, training) * self.gamma + self.beta

    def _unit(self, x: Any, training: bool) -> Any:
        if training or current_form().layer_norm == "moments":
            wide = tf.cast(x, tf.float32)  # eight digits of bfloat16 do not hold a variance
            around = wide - _mean(wide)
            return tf.cast(around * tf.math.rsqrt(_mean(around * around) + self.epsilon), x.dtype)
        return unit_by_magnitudes(x - _mean(x), _mean)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}


def _mean(x: Any) -> Any:
    """float [B, N, P, C] → [B, 1, 1, 1]: over the pixels first, of which XNNPACK has an operator."""
    channels = x.shape[-1]
    return product(tf.reduce_mean(x, (1, 2), keepdims=True), np.full((channels, 1), 1 / channels, np.float32))


@keras.saving.register_keras_serializable("vitconv")
class SeparableAttention(Attention):
    """Separable self-attention (Mehta & Rastegari, 2022, "Separable Self-attention for Mobile Vision
    Transformers"): one score for each token, whose softmax over the patches weighs the keys; their sum, the
    context, multiplies each token's value.

    x: float [B, N, P, C] → the same. The work grows with the number of tokens, not with its square.
    """

    def build(self, input_shape: tuple[int, ...]) -> None:
        channels = input_shape[-1]
        self.qkv_proj_kernel, self.qkv_proj_bias = self.add_dense("qkv_proj", channels, 1 + 2 * channels)
        self.out_proj_kernel, self.out_proj_bias = self.add_dense("out_proj", channels, channels)

    def call(self, x: Any, training: bool = False) -> Any:
        query, key, value = self._projected(x)
        if training or current_form().softmax == "fused":
            # [B, N, P, 1] -> [B, P, N], where the softmax is over the last axis, and back
            weights = _by_token(tf.nn.softmax(_by_place(query)))
            context = tf.reduce_sum(key * weights, axis=1, keepdims=True)  # [B, 1, P, C]
        else:
            context = self._context(query, key)
        return product(tf.nn.relu(value) * context, self.out_proj_kernel) + self.out_proj_bias

    @property
    def last_kernel(self) -> Any:
        return self.out_proj_kernel

    def attention_map(self, x: Any) -> Any:
        """How much of each token's key goes into the context: float [B, N, P, C] → [B, P, N], rows that sum to
        1."""
        return tf.nn.softmax(_by_place(self._projected(x)[0]))

    def _projected(self, x: Any) -> Any:
        """Scores [B, N, P, 1], keys and values [B, N, P, C]."""
        # In three products, since XNNPACK and the GPU take no split into parts that differ in size.
        sizes = (1, x.shape[-1], x.shape[-1])
        kernels = tf.split(tf.convert_to_tensor(self.qkv_proj_kernel), sizes, axis=1)
        biases = tf.split(tf.convert_to_tensor(self.qkv_proj_bias), sizes)
        return [product(x, kernel) + bias for kernel, bias in zip(kernels, biases, strict=True)]

    def _context(self, query: Any, key: Any) -> Any:
        """As published, with weights that are divided by their sum at the end, of the keys' mean."""
        _, tokens, places, channels = key.shape
        scores = _by_place(query)
        mean = product(scores, np.full((tokens, 1), 1 / tokens, np.float32))
        weights = exp_by_table(scores - shift_of(scores, mean))  # [B, P, N]
        weighted = ops.reshape(key * _by_token(weights), (-1, tokens, 1, places * channels))
        mixed = tf.reduce_mean(weighted, (1, 2), keepdims=True)  # of pixels, of which XNNPACK has an operator
        mixed = ops.reshape(mixed, (-1, 1, places, channels))
        share = ops.exp(minus_log_of_sum(weights) + math.log(tokens))  # [B, P, 1]
        return mixed * ops.reshape(share, (-1, 1, places, 1))


def _by_place(x: Any) -> Any:
    """[B, N, P, 1] -> [B, P, N]"""
    return ops.transpose(ops.reshape(x, (-1, x.shape[1], x.shape[2])), (0, 2, 1))


def _by_token(x: Any) -> Any:
    """[B, P, N] -> [B, N, P, 1]"""
    return ops.expand_dims(ops.transpose(x, (0, 2, 1)), -1)
