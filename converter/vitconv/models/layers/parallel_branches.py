"""Layers that have several branches side by side while they are trained, and one product in exported graphs.

Nothing but sums and batch normalisations with fixed statistics stand between such branches, so their weights can
be added up: structural re-parameterisation (Ding et al., 2021, "RepVGG: Making VGG-style ConvNets Great Again"). A
layer's weights are always those of the branches. `forms.current_form()` says whether the graph has the branches or
what they come to, and tests hold one against the other.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from vitconv.models.forms import current_form
from vitconv.models.layers.batch_norm import BatchNorm
from vitconv.models.layers.transformer_layer import constants, product


@keras.saving.register_keras_serializable("vitconv")
class BranchedDepthwise(layers.Layer):
    """RepViT's token mixer (Wang et al., 2024): BN(BN(3×3) + 1×1 + x), each channel for itself.

    x: float [B, H, W, C] → the same. As one: a 3×3 convolution of each channel with a bias.
    """

    def __init__(self, epsilon: float = 1e-5, momentum: float = 0.9, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="conv.c")
        self.conv_norm = BatchNorm(epsilon=epsilon, momentum=momentum, name="conv.bn")
        self.point = layers.DepthwiseConv2D(1, name="conv1")
        self.norm = BatchNorm(epsilon=epsilon, momentum=momentum, name="bn")

    def build(self, input_shape: tuple[int, ...]) -> None:
        for part in (self.conv, self.conv_norm, self.point, self.norm):
            part.build(input_shape)

    def call(self, x: Any, training: bool = False) -> Any:
        if current_form().branches == "merged" and not training:
            kernel, bias = constants(self._merged)
            return tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "SAME") + bias
        y = self.conv_norm(self.conv(x), training=training) + self.point(x) + x
        return self.norm(y, training=training)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return input_shape

    def _merged(self) -> tuple[Any, Any]:
        """Kernel [3, 3, C, 1] and bias [C].

        A batch norm is y = s·x + t. With those of the 3×3 branch (s₁, t₁) and of the sum (s₂, t₂), the kernel is
        s₂ · (s₁·K + 1 in the middle · (k + 1)), and the bias s₂ · (t₁ + b) + t₂.
        """
        inner, inner_shift = _scale_and_shift(self.conv_norm)
        outer, outer_shift = _scale_and_shift(self.norm)
        middle = np.zeros((3, 3, 1, 1), np.float32)
        middle[1, 1] = 1
        kernel = self.conv.kernel * inner[:, np.newaxis] + middle * (self.point.kernel + 1)
        bias = (inner_shift + self.point.bias) * outer + outer_shift
        return kernel * outer[:, np.newaxis], bias


@keras.saving.register_keras_serializable("vitconv")
class AveragedHeads(layers.Layer):
    """A classifier of two heads, each a batch normalisation and a dense layer: the softmax of their mean (Graham
    et al., 2021, "LeViT", where the second head learns from a larger network).

    x: float [B, C] → probabilities, float [B, classes]. As one: a dense layer.
    """

    def __init__(self, classes: int, epsilon: float = 1e-5, momentum: float = 0.9, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes = classes
        names = ("head", "head_dist")
        self.norms = [
            layers.BatchNormalization(epsilon=epsilon, momentum=momentum, name=f"{name}.bn") for name in names
        ]
        begin = keras.initializers.TruncatedNormal(stddev=0.02)
        self.dense = [layers.Dense(classes, kernel_initializer=begin, name=f"{name}.l") for name in names]

    def build(self, input_shape: tuple[int, ...]) -> None:
        for part in (*self.norms, *self.dense):
            part.build(input_shape)

    def call(self, x: Any, training: bool = False) -> Any:
        if current_form().branches == "merged" and not training:
            kernel, bias = constants(self.merged)
            return keras.activations.softmax(product(x, kernel) + bias)
        heads = zip(self.norms, self.dense, strict=True)
        first, second = (dense(norm(x, training=training)) for norm, dense in heads)
        return keras.activations.softmax((first + second) * 0.5)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*input_shape[:-1], self.classes)

    def merged(self) -> tuple[Any, Any]:
        """Kernel [C, classes] and bias [classes]: of each head s·W and t·W + b, half of both."""
        kernels, biases = [], []
        for norm, dense in zip(self.norms, self.dense, strict=True):
            scale, shift = _scale_and_shift(norm)
            kernels.append(scale[:, np.newaxis] * dense.kernel)
            biases.append(ops.matmul(shift[np.newaxis], dense.kernel)[0] + dense.bias)
        return sum(kernels) / len(kernels), sum(biases) / len(biases)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable("vitconv")
class SqueezeExcite(layers.Layer):
    """Scales each channel by what the means of all channels say (Hu et al., 2018, "Squeeze-and-Excitation
    Networks"): x · σ(W₂ relu(W₁ mean(x))).

    x: float [B, H, W, C] → the same; `hidden` is what W₁ gives.
    """

    def __init__(self, hidden: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden = hidden
        self.narrow = layers.Conv2D(hidden, 1, name="fc1")

    def build(self, input_shape: tuple[int, ...]) -> None:
        channels = input_shape[-1]
        self.widen = layers.Conv2D(channels, 1, name="fc2")
        self.narrow.build((None, 1, 1, channels))
        self.widen.build((None, 1, 1, self.hidden))

    def call(self, x: Any) -> Any:
        means = tf.reduce_mean(x, (1, 2), keepdims=True)  # [B, 1, 1, C]
        return x * tf.sigmoid(self.widen(tf.nn.relu(self.narrow(means))))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hidden": self.hidden}


def _scale_and_shift(norm: layers.BatchNormalization) -> tuple[Any, Any]:
    """What a batch normalisation does outside training, y = s·x + t: s and t, float [C]."""
    scale = norm.gamma * ops.rsqrt(norm.moving_variance + norm.epsilon)
    return scale, norm.beta - norm.moving_mean * scale
