"""What the layers of the transformers share: how their weights are named, and the product with a kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from keras import layers


def product(x: Any, kernel: Any) -> Any:
    """float [..., C] times a matrix, float [C, D] → [..., D].

    TensorFlow's own operation, for of keras.ops.matmul each version of Keras writes other operations into a graph.
    """
    return tf.tensordot(x, tf.cast(kernel, x.dtype), 1)


def constants(kernels: Callable[..., tuple[Any, ...]], *arguments: Any) -> tuple[np.ndarray, ...]:
    """What `kernels` computes from weights, computed now: the converter would leave that in the graph."""
    with tf.init_scope():
        return tuple(np.asarray(kernel) for kernel in kernels(*arguments))


class TransformerLayer(layers.Layer):
    """A layer with pairs of a kernel (a matrix) and a bias under readable names."""

    def add_dense(
        self, name: str, rows: int, columns: int, initializer: Any = "glorot_uniform"
    ) -> tuple[Any, Any]:
        kernel = self.add_weight(name=f"{name}_kernel", shape=(rows, columns), initializer=initializer)
        return kernel, self.add_weight(name=f"{name}_bias", shape=(columns,), initializer="zeros")

    def add_norm(self, channels: int) -> tuple[Any, Any]:
        gamma = self.add_weight(name="gamma", shape=(channels,), initializer="ones")
        return gamma, self.add_weight(name="beta", shape=(channels,), initializer="zeros")


class Attention(TransformerLayer):
    """A layer that mixes tokens: float [B, N, …, C] → the same."""

    @property
    def last_kernel(self) -> Any:
        """The weight that leads out of it, a matrix."""
        raise NotImplementedError

    def attention_map(self, x: Any) -> Any:
        """How much is taken of each token; each kind of attention says in which shape."""
        raise NotImplementedError
