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


def normalise(x: Any, epsilon: float, training: bool = False) -> tuple[Any, float]:
    """Layer normalisation without its γ and β, as (u, s): (x − mean) / √(variance + ε) = s · u.

    x: float [..., C] → u: float [..., C], and the constant s, which belongs into the weights that follow. In the
    "l2" form u has length 1 over C, s is √C, and ε is left out, which matters only where the variance is tiny.
    """
    if training:
        return gradients.normalise(x, epsilon), 1.0
    channels = x.shape[-1]
    if current_form().layer_norm == "l2":
        # A product with I − 1/C rather than a subtraction: the converter would merge a subtraction into
        # SQUARED_DIFFERENCE and lose the pattern that becomes L2_NORMALIZATION.
        centred = ops.matmul(x, np.eye(channels, dtype=np.float32) - np.float32(1 / channels))
        return tf.math.l2_normalize(centred, axis=-1, epsilon=1e-12), channels**0.5
    centred = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    return centred * ops.rsqrt(variance + epsilon), 1.0


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
    memory units (axis 3).

    scores: float [B, N, h, units] → float of the same shape, each row over units summing to 1.
    """
    scores -= ops.max(scores, axis=1, keepdims=True)  # changes nothing but keeps exp in range
    raised = ops.exp(scores)
    sums = ops.sum(raised, axis=1, keepdims=True)
    if current_form().double_norm == "logsumexp":
        return softmax(scores - ops.log(sums))
    weights = raised / sums
    return weights / (1e-9 + ops.sum(weights, axis=-1, keepdims=True))


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
