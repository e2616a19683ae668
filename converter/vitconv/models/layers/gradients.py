"""Functions with a gradient written by hand, for training.

TensorFlow derives a gradient operation by operation. Around an attention map, the largest array of a step (34 MB
for a batch of 128 of EANet), that takes about twice the passes over such arrays that are needed, and on a CPU they
wait for memory. A dropout that follows the map is part of its function here, so that its gradient takes no pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def normalise(x: Any, epsilon: float) -> Any:
    """Layer normalisation without its γ and β: u = (x − mean) · r with r = 1 / √(variance + ε).

    x: float [..., C] → the same shape. Gradient: r · (du − mean(du) − u · mean(u · du)), means over C.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def function(x: Any) -> tuple[Any, Callable[[Any], Any]]:
        centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
        reciprocal = tf.math.rsqrt(variance + epsilon)
        unit = centred * reciprocal

        def gradient(upstream: Any) -> Any:
            along = tf.reduce_mean(unit * upstream, axis=-1, keepdims=True)
            return reciprocal * (upstream - unit * along - tf.reduce_mean(upstream, axis=-1, keepdims=True))

        return unit, gradient

    return function(x)


def attention(query: Any, key: Any, value: Any, dropout: Any) -> Any:
    """(dropout · P) value with P = softmax(query keyᵀ), over the last axis.

    query, key, value: float [B, h, N, d]; dropout: a factor of each weight, float [B, h, N, N], or None for 1.
    Gradient, with P' = dropout · P and Y the result: dP' = dY valueᵀ, and of the products before the softmax
    P' · dP' − P · Σ (dY · Y), summed over d: as Σ_m P'_nm dP'_nm = dY_n · Y_n (Dao et al., 2022), no pass over the
    map is needed for it.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def function(query: Any, key: Any, value: Any) -> tuple[Any, Callable[[Any], Any]]:
        weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True))
        dropped = weights if dropout is None else weights * dropout
        mixed = tf.matmul(dropped, value)

        def gradient(upstream: Any) -> Any:
            along = tf.reduce_sum(upstream * mixed, axis=-1, keepdims=True)
            of_dropped = tf.matmul(upstream, value, transpose_b=True)
            of_scores = dropped * of_dropped - weights * along
            return (
                tf.matmul(of_scores, key),
                tf.matmul(of_scores, query, transpose_a=True),
                tf.matmul(dropped, upstream, transpose_a=True),
            )

        return mixed, gradient

    return function(query, key, value)


def double_normalise(scores: Any, dropout: Any = None) -> Any:
    """What normalisation.double_normalise computes, times `dropout`: y = w / Σ_units w, with w the softmax of the
    scores over the tokens.

    scores: float [B, N, h, units]; dropout: a factor of each result, of the same shape, or None for 1. Gradient:
    with r = Σ_units w, so that w = y · r, y' = dropout · y and t = y' · dy' − y · Σ_units (y' · dy'), it is
    t − w · Σ_tokens t.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def function(scores: Any) -> tuple[Any, Callable[[Any], Any]]:
        raised = tf.exp(scores - tf.reduce_max(scores, axis=1, keepdims=True))
        weights = raised * tf.math.reciprocal(tf.reduce_sum(raised, axis=1, keepdims=True))
        sums = 1e-9 + tf.reduce_sum(weights, axis=-1, keepdims=True)
        normalised = weights * tf.math.reciprocal(sums)
        dropped = normalised if dropout is None else normalised * dropout

        def gradient(upstream: Any) -> Any:
            product = dropped * upstream
            through_units = product - normalised * tf.reduce_sum(product, axis=-1, keepdims=True)
            over_tokens = tf.reduce_sum(through_units, axis=1, keepdims=True)
            return through_units - normalised * (sums * over_tokens)

        return dropped, gradient

    return function(scores)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def swish(x: Any) -> tuple[Any, Callable[[Any], Any]]:
    """y = x · σ(x). TensorFlow's own computes σ a second time for the gradient, to save memory."""
    sigmoid = tf.sigmoid(x)
    y = x * sigmoid

    def gradient(upstream: Any) -> Any:
        return upstream * (sigmoid * (1.0 - y) + y)  # σ + x · σ · (1 − σ)

    return y, gradient


def held_apart(branch: Any, stream: Any, least: float, penalty: float) -> Any:
    """The branch as it is, float [..., C]. Its gradient has that of penalty · relu(least − r)² added, whatever the
    loss is, with r = spread(branch) / spread(stream). A spread is the root of the mean square deviation of a
    channel from its mean over everything else, over all channels. The stream, of the same shape, gets none of it.
    """

    def from_mean(x: Any) -> Any:
        return x - tf.reduce_mean(x, axis=list(range(len(x.shape) - 1)), keepdims=True)

    def spread(deviations: Any) -> Any:
        return tf.sqrt(tf.reduce_mean(tf.square(deviations)) + 1e-12)

    of_stream = tf.stop_gradient(spread(from_mean(stream)))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def function(branch: Any) -> tuple[Any, Callable[[Any], Any]]:
        def gradient(upstream: Any) -> Any:
            deviations = from_mean(branch)
            own = spread(deviations)
            missing = tf.nn.relu(least - own / of_stream)
            push = 2.0 * penalty * missing / (of_stream * own * tf.cast(tf.size(branch), branch.dtype))
            return upstream - push * deviations

        return tf.identity(branch), gradient

    return function(branch)


def held_above(x: Any, least: float, penalty: float) -> Any:
    """x as it is. Its gradient has that of penalty · mean(relu(least − x)²) added, whatever the loss is."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def function(x: Any) -> tuple[Any, Callable[[Any], Any]]:
        def gradient(upstream: Any) -> Any:
            pull = 2.0 * penalty / tf.cast(tf.size(x), x.dtype)
            return upstream - pull * tf.nn.relu(least - x)

        return tf.identity(x), gradient

    return function(x)
