"""Self-attention and external attention, written so that the same layer trains fast and converts well.

A layer's weights are always those of the published formulation. What it computes with them may be rearranged by
algebra: `forms.current_form()` says which arrangement to write, and tests hold each against the published one.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from vitconv.models.forms import NORM_SCOPE, current_form
from vitconv.models.layers import gradients
from vitconv.models.layers.dropout import Dropout
from vitconv.models.layers.normalisation import (
    SCALE,
    attended,
    double_normalise,
    double_normalise_scaled,
    normalise,
)
from vitconv.models.layers.token_stream import centred, writes_centred
from vitconv.models.layers.transformer_layer import Attention, constants, product


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
class NormedSelfAttention(Attention):
    """Layer normalisation, then multi-head scaled dot-product self-attention over the second axis (Vaswani et al.,
    2017, in the pre-norm order): MultiHeadAttention(LayerNorm(x)).

    x: float [B, N, C] → float [B, N, C]. `token_stream` says that x comes out of one, into which the result goes
    (see models.token_stream).
    """

    def __init__(
        self,
        epsilon: float,
        heads: int,
        key_dim: int,
        dropout: float = 0.0,
        token_stream: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.token_stream = token_stream
        self.epsilon = epsilon
        self.heads = heads
        self.key_dim = key_dim
        self.dropout = Dropout(dropout)

    def build(self, input_shape: tuple[int, ...]) -> None:
        channels, heads, size = input_shape[-1], self.heads, self.key_dim
        self.gamma, self.beta = self.add_norm(channels)
        inward = _FlattenedGlorot((channels, heads, size))
        self.query_kernel, self.query_bias = self.add_dense("query", channels, heads * size, inward)
        self.key_kernel, self.key_bias = self.add_dense("key", channels, heads * size, inward)
        self.value_kernel, self.value_bias = self.add_dense("value", channels, heads * size, inward)
        outward = _FlattenedGlorot((heads, size, channels))
        self.output_kernel, self.output_bias = self.add_dense("output", heads * size, channels, outward)

    def call(self, x: Any, training: bool = False) -> Any:
        with tf.name_scope(NORM_SCOPE):
            unit = normalise(x, self.epsilon, training, self.token_stream and writes_centred(training))
        # Merging a head's kernels costs more than it saves where heads are narrower than the tokens.
        if current_form().attention == "merged" and not training and self.key_dim >= x.shape[-1]:
            return self._merged(unit)
        return self._projected(unit * self.gamma + self.beta, training)

    @property
    def last_kernel(self) -> Any:
        return self.output_kernel

    def attention_map(self, x: Any) -> Any:
        """How much of each token's value goes into each token, as published: float [B, N, C] → [B, h, N, N], rows
        that sum to 1."""
        query, key, _ = self._query_key_value(normalise(x, self.epsilon) * self.gamma + self.beta)
        return tf.nn.softmax(tf.matmul(query, key, transpose_b=True))

    def _projected(self, x: Any, training: bool) -> Any:
        """As published, with 1/√key_dim in the query's kernel."""
        tokens = x.shape[1]
        query, key, value = self._query_key_value(x)  # each [B, h, N, d]
        if training:
            kept = self.dropout.kept(tf.concat([tf.shape(query)[:3], [tokens]], axis=0), query.dtype)
            mixed = gradients.attention(query, key, value * self.dropout.scale, kept)
        else:
            mixed = attended(query, key, value)  # [B, h, N, d]
        mixed = ops.transpose(mixed, (0, 2, 1, 3))
        mixed = ops.reshape(mixed, (-1, tokens, self.heads * self.key_dim))
        kernel, bias = self.output_kernel, self.output_bias
        if self.token_stream and writes_centred(training):
            kernel, bias = centred(kernel, bias)
        return product(mixed, kernel) + bias

    def _query_key_value(self, x: Any) -> Any:
        """x: float [B, N, C] → query / √key_dim, key and value, each float [B, h, N, d]."""
        scale = self.key_dim**-0.5
        kernels = (self.query_kernel * scale, self.key_kernel, self.value_kernel)
        biases = (self.query_bias * scale, self.key_bias, self.value_bias)
        if current_form().projections == "separate":
            return [self._by_head(product(x, kernel) + bias) for kernel, bias in zip(kernels, biases, strict=True)]
        joined = product(x, ops.concatenate(kernels, axis=-1)) + ops.concatenate(biases, axis=-1)
        return ops.split(self._by_head(joined), 3, axis=1)

    def _by_head(self, x: Any) -> Any:
        """[B, N, n·d] -> [B, n, N, d]"""
        x = ops.reshape(x, (-1, x.shape[1], x.shape[2] // self.key_dim, self.key_dim))
        return ops.transpose(x, (0, 2, 1, 3))

    def _merged(self, unit: Any) -> Any:
        """The same, with weight matrices that have no nonlinearity between them multiplied together.

        Tokens are y = γ·u + β. A score is (y_n W_q + b_q) · (y_m W_k + b_k); what of it doesn't depend on m is
        the same for all keys and falls out of the softmax, which leaves
            ((y_n W_q + b_q) W_kᵀ · γ) · u_m.
        A head's output is Σ_m P_nm (y_m W_v + b_v) W_o, and since Σ_m P_nm = 1,
            (Σ_m P_nm u_m) (γ W_v W_o) + (β W_v + b_v) W_o.
        So u itself is key and value of every head, heads are rows of one matrix, and nothing is transposed.
        """
        tokens, channels = unit.shape[1:]
        width = self.heads * channels
        into, into_bias, out_of, out_bias = constants(self._merged_kernels)
        if self.token_stream and writes_centred(training=False):
            out_of, out_bias = centred(out_of, out_bias)
        asked = product(unit, into) + into_bias
        asked = ops.reshape(asked, (-1, tokens * self.heads, channels))  # [B, N, h·C] -> [B, N·h, C]
        mixed = attended(asked, unit, unit)  # [B, N·h, C]
        mixed = ops.reshape(mixed, (-1, tokens, width))  # [B, N·h, C] -> [B, N, h·C]
        return product(mixed, out_of) + out_bias

    def _merged_kernels(self) -> tuple[Any, Any, Any, Any]:
        """Kernel and bias into the scores [C, h·C], [h·C], and out of the mixed tokens [h·C, C], [C]."""
        heads, size, channels = self.heads, self.key_dim, self.gamma.shape[0]
        gamma = ops.convert_to_tensor(self.gamma)
        query, key, value = (
            ops.reshape(kernel, (channels, heads, size))
            for kernel in (self.query_kernel * size**-0.5, self.key_kernel, self.value_kernel)
        )
        out = ops.reshape(self.output_kernel, (heads, size, channels))
        query_bias = ops.reshape(self.query_bias * size**-0.5, (heads, size)) + ops.einsum(
            "a,ahd->hd", self.beta, query
        )
        value_bias = ops.reshape(self.value_bias, (heads, size)) + ops.einsum("a,ahd->hd", self.beta, value)
        into = ops.einsum("a,ahd,bhd,b->ahb", gamma, query, key, gamma)
        into_bias = ops.einsum("hd,bhd,b->hb", query_bias, key, gamma)
        out_of = ops.einsum("a,ahd,hdc->hac", gamma, value, out)
        out_bias = ops.einsum("hd,hdc->c", value_bias, out) + self.output_bias
        width = heads * channels
        return (
            ops.reshape(into, (channels, width)),
            ops.reshape(into_bias, (width,)),
            ops.reshape(out_of, (width, channels)),
            out_bias,
        )

    def get_config(self) -> dict[str, Any]:
        own = {
            "epsilon": self.epsilon,
            "heads": self.heads,
            "key_dim": self.key_dim,
            "dropout": self.dropout.rate,
            "token_stream": self.token_stream,
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("vitconv")
class NormedExternalAttention(Attention):
    """Layer normalisation, then external attention (Guo et al., 2021): every head looks up the same small memory
    of M_k and M_v, and the attention map is normalised twice.

    x: float [B, N, C] → float [B, N, C]; `heads` heads of `head_dim`, a memory of `units` rows shared by all.

    Published are four products: C → heads·head_dim, then by M_k per head to `units`, the two normalisations, by
    M_v per head back to head_dim, and heads·head_dim → C. Nothing but bias stands between the first two and
    between the last two, so each pair is computed as one product with their kernels multiplied.
    """

    def __init__(
        self,
        epsilon: float,
        heads: int,
        head_dim: int,
        units: int,
        attention_dropout: float,
        projection_dropout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.heads = heads
        self.head_dim = head_dim
        self.units = units
        self.attention_dropout = Dropout(attention_dropout)
        self.projection_dropout = Dropout(projection_dropout)

    def build(self, input_shape: tuple[int, ...]) -> None:
        channels, inner = input_shape[-1], self.heads * self.head_dim
        self.gamma, self.beta = self.add_norm(channels)
        self.expand_kernel, self.expand_bias = self.add_dense("expand", channels, inner)
        self.key_kernel, self.key_bias = self.add_dense("memory_key", self.head_dim, self.units)
        self.value_kernel, self.value_bias = self.add_dense("memory_value", self.units, self.head_dim)
        self.project_kernel, self.project_bias = self.add_dense("project", inner, channels)

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            return self._trained(x)
        if current_form().attention == "merged":
            into, into_bias, out_of, out_bias = constants(self._merged_kernels)
        else:
            into, into_bias, out_of, out_bias = self._merged_kernels()
        with tf.name_scope(NORM_SCOPE):
            x = normalise(x, self.epsilon) * self.gamma + self.beta
        # By unit, then by head: what is summed over the units then stands side by side.
        order = np.arange(self.heads * self.units).reshape(self.heads, self.units).T.ravel()
        scores = product(x, ops.take(into, order, axis=1)) + ops.take(into_bias, order)
        scores = ops.reshape(scores, (-1, x.shape[1], self.units, self.heads))
        if current_form().double_norm == "scaled":
            weights, out_of = double_normalise_scaled(scores), SCALE * out_of
        else:
            weights = double_normalise(scores)
        return product(self._by_token(weights), ops.take(out_of, order, axis=0)) + out_bias

    @property
    def last_kernel(self) -> Any:
        return self.project_kernel

    def attention_map(self, x: Any) -> Any:
        """How much each token makes of each memory unit: float [B, N, C] → [B, N, units, h], 1 in sum over the
        units."""
        into, into_bias, _, _ = self._merged_kernels()
        scores = self._scores(product(normalise(x, self.epsilon) * self.gamma + self.beta, into) + into_bias)
        return double_normalise(ops.transpose(scores, (0, 1, 3, 2)))

    def _trained(self, x: Any) -> Any:
        """With dropout, and without what adds the same to the scores of all tokens, β and the biases: the softmax
        over the tokens takes no notice of it."""
        into, into_bias, out_of, out_bias = self._merged_kernels()
        unused = ops.sum(into_bias) + ops.sum(self.beta)
        unit = normalise(x, self.epsilon, training=True)
        scores = self._scores(product(unit, ops.expand_dims(self.gamma, 1) * into))
        kept = self.attention_dropout.kept(tf.shape(scores), tf.float32)
        weights = gradients.double_normalise(tf.cast(scores, tf.float32), kept)  # sums over a thousand tokens
        weights = self._by_token(tf.cast(weights, x.dtype))
        y = product(weights, out_of * self.attention_dropout.scale) + (out_bias + 0.0 * unused)
        return self.projection_dropout(y, training=True)

    def _scores(self, x: Any) -> Any:
        """[B, N, h·units] -> [B, N, h, units]"""
        return ops.reshape(x, (-1, x.shape[1], self.heads, self.units))

    def _by_token(self, weights: Any) -> Any:
        """[B, N, h, units] -> [B, N, h·units]"""
        return ops.reshape(weights, (-1, weights.shape[1], self.heads * self.units))

    def _merged_kernels(self) -> tuple[Any, Any, Any, Any]:
        """Kernel and bias into the scores [C, h·units], [h·units], and out of the map [h·units, C], [C]."""
        channels, width = self.gamma.shape[0], self.heads * self.units
        expand = ops.reshape(self.expand_kernel, (channels, self.heads, self.head_dim))
        expand_bias = ops.reshape(self.expand_bias, (self.heads, self.head_dim))
        into = ops.reshape(ops.matmul(expand, self.key_kernel), (channels, width))
        into_bias = ops.reshape(ops.matmul(expand_bias, self.key_kernel) + self.key_bias, (width,))
        project = ops.reshape(self.project_kernel, (self.heads, self.head_dim, channels))
        out_of = ops.reshape(ops.einsum("ud,hdc->huc", self.value_kernel, project), (width, channels))
        out_bias = ops.einsum("d,hdc->c", self.value_bias, project) + self.project_bias
        return into, into_bias, out_of, out_bias

    def get_config(self) -> dict[str, Any]:
        own = {
            "epsilon": self.epsilon,
            "heads": self.heads,
            "head_dim": self.head_dim,
            "units": self.units,
            "attention_dropout": self.attention_dropout.rate,
            "projection_dropout": self.projection_dropout.rate,
        }
        return {**super().get_config(), **own}
