"""Functions with a gradient written by hand, for training.

TensorFlow derives that of external attention's two normalisations operation by operation, and passes over some ten
arrays of the attention map's size (134 MB for a batch of 128) where six are enough. On a CPU, where such passes
wait for memory, that halves their time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


@tf.custom_gradient  # type: ignore[untyped-decorator]
def double_normalise(scores: Any) -> tuple[Any, Callable[[Any], Any]]:
    """What layers.double_normalise computes: y = w / Σ_units w, with w the softmax of the scores over the tokens.

    scores: float [B, N, h, units] → float of the same shape. Its gradient: with r = Σ_units w, so that w = y · r,
    and t = y · dy − y · Σ_units (y · dy), ds = t − w · Σ_tokens t.
    """
    raised = tf.exp(scores - tf.reduce_max(scores, axis=1, keepdims=True))
    weights = raised * tf.math.reciprocal(tf.reduce_sum(raised, axis=1, keepdims=True))
    sums = 1e-9 + tf.reduce_sum(weights, axis=-1, keepdims=True)
    normalised = weights * tf.math.reciprocal(sums)

    def gradient(upstream: Any) -> Any:
        product = normalised * upstream
        through_units = product - normalised * tf.reduce_sum(product, axis=-1, keepdims=True)
        over_tokens = tf.reduce_sum(through_units, axis=1, keepdims=True)
        return through_units - normalised * (sums * over_tokens)

    return normalised, gradient


@tf.custom_gradient  # type: ignore[untyped-decorator]
def swish(x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """y = x · σ(x). TensorFlow's own computes σ a second time for the gradient, to save memory."""
    sigmoid = tf.sigmoid(x)
    y = x * sigmoid

    def gradient(upstream: Any) -> Any:
        return upstream * (sigmoid * (1.0 - y) + y)  # σ + x · σ · (1 − σ)

    return y, gradient
