"""The building blocks of the transformers, written so that the same layer trains fast and converts well.

Where a layer has more than one way to write itself into a graph, `forms.current_form()` says which to take.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from vitconv.models.forms import current_form


@keras.saving.register_keras_serializable("vitconv")
class LayerNorm(layers.Layer):
    """Layer normalisation over the last axis: γ · (x − mean) / √(variance + ε) + β.

    x: float [..., C] → float [..., C]. In the "l2" form ε is left out, which matters only where the variance
    over C is of ε's size.
    """

    def __init__(self, epsilon: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape: tuple[int, ...]) -> None:
        channels = input_shape[-1]
        self.gamma = self.add_weight(name="gamma", shape=(channels,), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(channels,), initializer="zeros")

    def call(self, x: Any) -> Any:
        channels = x.shape[-1]
        if current_form().layer_norm == "l2":
            # A product with I − 1/C rather than a subtraction: the converter would merge a subtraction into
            # SQUARED_DIFFERENCE and lose the pattern that becomes L2_NORMALIZATION.
            centred = ops.matmul(x, np.eye(channels, dtype=np.float32) - 1.0 / channels)
            return tf.math.l2_normalize(centred, axis=-1, epsilon=1e-12) * (self.gamma * channels**0.5) + self.beta
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        return centred * ops.rsqrt(variance + self.epsilon) * self.gamma + self.beta

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}


class _FlattenedGlorot(keras.initializers.GlorotUniform):
    """Glorot's uniform range as keras.layers.MultiHeadAttention gets it, from its kernels of three axes.

    Theirs is narrower than that of the same kernel as a matrix, and the articles' results were trained from it.
    """

    def __init__(self, full_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.full_shape = full_shape

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        return ops.reshape(super().__call__(self.full_shape, dtype), shape)


@keras.saving.register_keras_serializable("vitconv")
class SelfAttention(layers.Layer):
    """Multi-head scaled dot-product self-attention over the second axis (Vaswani et al., 2017).

    x: float [B, N, C] → float [B, N, C]. Query, key and value are one product with their three kernels side by
    side; 1/√key_dim is part of the query's kernel.
    """

    def __init__(self, heads: int, key_dim: int, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.key_dim = key_dim
        self.dropout = layers.Dropout(dropout)

    def build(self, input_shape: tuple[int, ...]) -> None:
        channels = input_shape[-1]
        inner = self.heads * self.key_dim

        def dense(name: str, full_shape: tuple[int, ...], rows: int, columns: int) -> tuple[Any, Any]:
            kernel = self.add_weight(
                name=f"{name}_kernel", shape=(rows, columns), initializer=_FlattenedGlorot(full_shape)
            )
            return kernel, self.add_weight(name=f"{name}_bias", shape=(columns,), initializer="zeros")

        inward = (channels, self.heads, self.key_dim)
        self.query_kernel, self.query_bias = dense("query", inward, channels, inner)
        self.key_kernel, self.key_bias = dense("key", inward, channels, inner)
        self.value_kernel, self.value_bias = dense("value", inward, channels, inner)
        outward = (self.heads, self.key_dim, channels)
        self.output_kernel, self.output_bias = dense("output", outward, inner, channels)

    def call(self, x: Any, training: bool = False) -> Any:
        tokens = x.shape[1]
        scale = self.key_dim**-0.5
        kernel = ops.concatenate([self.query_kernel * scale, self.key_kernel, self.value_kernel], axis=-1)
        bias = ops.concatenate([self.query_bias * scale, self.key_bias, self.value_bias], axis=-1)
        qkv = ops.matmul(x, kernel) + bias  # [B, N, 3·h·d]
        qkv = ops.reshape(qkv, (-1, tokens, 3 * self.heads, self.key_dim))
        qkv = ops.transpose(qkv, (0, 2, 1, 3))  # [B, N, 3h, d] -> [B, 3h, N, d]
        query, key, value = ops.split(qkv, 3, axis=1)  # each [B, h, N, d]
        weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True))  # [B, h, N, N]
        weights = self.dropout(weights, training=training)
        mixed = tf.matmul(weights, value)  # [B, h, N, d]
        mixed = ops.transpose(mixed, (0, 2, 1, 3))
        mixed = ops.reshape(mixed, (-1, tokens, self.heads * self.key_dim))
        return ops.matmul(mixed, self.output_kernel) + self.output_bias

    def get_config(self) -> dict[str, Any]:
        own = {"heads": self.heads, "key_dim": self.key_dim, "dropout": self.dropout.rate}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("vitconv")
class ExternalAttention(layers.Layer):
    """External attention (Guo et al., 2021): every head looks up the same small memory of M_k and M_v.

    x: float [B, N, C] → float [B, N, C]; `heads` heads of `head_dim`, a memory of `units` rows shared by all.
    The attention map is normalised twice: softmax over the tokens, then by the sum over the memory units.
    """

    def __init__(
        self,
        heads: int,
        head_dim: int,
        units: int,
        attention_dropout: float,
        projection_dropout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.head_dim = head_dim
        self.units = units
        self.attention_dropout = layers.Dropout(attention_dropout)
        self.projection_dropout = layers.Dropout(projection_dropout)

    def build(self, input_shape: tuple[int, ...]) -> None:
        channels = input_shape[-1]
        inner = self.heads * self.head_dim

        def dense(name: str, rows: int, columns: int) -> tuple[Any, Any]:
            kernel = self.add_weight(name=f"{name}_kernel", shape=(rows, columns), initializer="glorot_uniform")
            return kernel, self.add_weight(name=f"{name}_bias", shape=(columns,), initializer="zeros")

        self.expand_kernel, self.expand_bias = dense("expand", channels, inner)
        self.key_kernel, self.key_bias = dense("memory_key", self.head_dim, self.units)
        self.value_kernel, self.value_bias = dense("memory_value", self.units, self.head_dim)
        self.project_kernel, self.project_bias = dense("project", inner, channels)

    def call(self, x: Any, training: bool = False) -> Any:
        tokens = x.shape[1]
        x = ops.matmul(x, self.expand_kernel) + self.expand_bias  # [B, N, h·d]
        x = ops.reshape(x, (-1, tokens, self.heads, self.head_dim))
        x = ops.transpose(x, (0, 2, 1, 3))  # [B, N, h, d] -> [B, h, N, d]
        scores = ops.matmul(x, self.key_kernel) + self.key_bias  # [B, h, N, units]
        weights = self.attention_dropout(double_normalise(scores), training=training)
        x = ops.matmul(weights, self.value_kernel) + self.value_bias  # [B, h, N, d]
        x = ops.transpose(x, (0, 2, 1, 3))
        x = ops.reshape(x, (-1, tokens, self.heads * self.head_dim))
        x = ops.matmul(x, self.project_kernel) + self.project_bias
        return self.projection_dropout(x, training=training)

    def get_config(self) -> dict[str, Any]:
        own = {
            "heads": self.heads,
            "head_dim": self.head_dim,
            "units": self.units,
            "attention_dropout": self.attention_dropout.rate,
            "projection_dropout": self.projection_dropout.rate,
        }
        return {**super().get_config(), **own}


def double_normalise(scores: Any) -> Any:
    """External attention's two normalisations: softmax over tokens (axis 2), then divided by the sum over units.

    scores: float [B, h, N, units] → float of the same shape, each row over units summing to 1.
    """
    if current_form().double_norm == "logsumexp":
        scores -= ops.max(scores, axis=2, keepdims=True)
        return ops.softmax(scores - ops.log(ops.sum(ops.exp(scores), axis=2, keepdims=True)), axis=-1)
    weights = ops.softmax(scores, axis=2)
    return weights / (1e-9 + ops.sum(weights, axis=-1, keepdims=True))


@keras.saving.register_keras_serializable("vitconv")
class PatchEmbedding(layers.Layer):
    """Cuts an image into patches, projects each, and adds a learned position embedding.

    x: float [B, H, W, 3] → float [B, N, C] with N = H·W / patch², patches row by row. The projection of patches
    is a convolution whose stride is its kernel size; a patch's values are ordered row, column, channel.
    """

    def __init__(self, patch_size: int, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.channels = channels

    def build(self, input_shape: tuple[int, ...]) -> None:
        _, height, width, depth = input_shape
        self.patches = (height // self.patch_size) * (width // self.patch_size)
        size = self.patch_size**2 * depth
        self.kernel = self.add_weight(name="kernel", shape=(size, self.channels), initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(self.channels,), initializer="zeros")
        self.position = self.add_weight(
            name="position", shape=(self.patches, self.channels), initializer="random_uniform"
        )

    def call(self, x: Any) -> Any:
        size = self.patch_size
        kernel = ops.reshape(self.kernel, (size, size, x.shape[-1], self.channels))
        x = ops.conv(x, kernel, strides=size, padding="valid") + self.bias  # [B, H/p, W/p, C]
        return ops.reshape(x, (-1, self.patches, self.channels)) + self.position

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "patch_size": self.patch_size, "channels": self.channels}


@keras.saving.register_keras_serializable("vitconv")
class UnfoldPatches(layers.Layer):
    """Gathers the pixels that have the same position inside their 2×2 patch (Mehta & Rastegari, 2022).

    x: float [B, H, W, C] → float [B·4, H·W/4, C]. `FoldPatches` undoes it.
    """

    def call(self, x: Any) -> Any:
        _, height, width, channels = x.shape
        x = tf.nn.space_to_depth(x, 2)  # [B, H/2, W/2, 4·C]
        x = ops.reshape(x, (-1, height * width // 4, 4, channels))
        x = ops.transpose(x, (0, 2, 1, 3))  # [B, N, 4, C] -> [B, 4, N, C]
        return ops.reshape(x, (-1, height * width // 4, channels))


@keras.saving.register_keras_serializable("vitconv")
class FoldPatches(layers.Layer):
    """Puts unfolded patches back in their places: float [B·4, H·W/4, C] → float [B, H, W, C]."""

    def __init__(self, height: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height = height
        self.width = width

    def call(self, x: Any) -> Any:
        _, patches, channels = x.shape
        x = ops.reshape(x, (-1, 4, patches, channels))
        x = ops.transpose(x, (0, 2, 1, 3))  # [B, 4, N, C] -> [B, N, 4, C]
        x = ops.reshape(x, (-1, self.height // 2, self.width // 2, 4 * channels))
        return tf.nn.depth_to_space(x, 2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "height": self.height, "width": self.width}
