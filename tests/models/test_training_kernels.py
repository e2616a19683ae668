"""The operations that replace Keras's own while training compute what those compute."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from vitconv.models.layers.batch_norm import BatchNorm
from vitconv.models.layers.gradients import swish
from vitconv.training.steps.fused_adam import FusedAdam

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

# Equal up to the order of float32 sums over some hundred values. Bessel's correction left out, or a momentum the
# wrong way round, is 1e-3 and more.
NOISE = 2e-5


def randoms(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0.3, 2, shape).astype(np.float32)


def test_batch_norm_is_keras_s_forward_and_back() -> None:
    x, upstream = tf.constant(randoms(4, 5, 6, 3)), tf.constant(randoms(4, 5, 6, 3)[::-1])
    results = []
    for kind in (BatchNorm, keras.layers.BatchNormalization):
        layer = kind(momentum=0.9, epsilon=1e-3)
        layer.build(x.shape)
        layer.gamma.assign([0.5, 1, 2])
        layer.beta.assign([1, 0, -1])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        gradients = tape.gradient(y, [x, layer.gamma.value, layer.beta.value], upstream)
        moving = [np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)]
        results.append([y, *gradients, *moving, layer(x, training=False)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=NOISE, atol=NOISE)


def test_a_frozen_batch_norm_keeps_its_statistics() -> None:
    layer = BatchNorm()
    layer.build((None, 4, 4, 3))
    layer.trainable = False
    layer(randoms(2, 4, 4, 3), training=True)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))


def test_swish_is_tensorflow_s_with_its_gradient() -> None:
    x, upstream = tf.constant(randoms(50, 3) * 3), tf.constant(randoms(50, 3)[::-1])
    results = []
    for function in (swish, tf.nn.silu):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        results.append((y, tape.gradient(y, x, upstream)))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=5e-5, atol=1e-6)


@pytest.mark.parametrize("decay", [None, 0.1])
def test_adam_s_steps_are_keras_s(decay: float | None) -> None:
    results = []
    for optimizer in (
        FusedAdam(0.01, weight_decay=decay),
        keras.optimizers.AdamW(0.01, weight_decay=decay) if decay else keras.optimizers.Adam(0.01),
    ):
        variables = [keras.Variable(randoms(3, 4)), keras.Variable(randoms(5))]
        optimizer.build(variables)
        for step in range(1, 6):
            optimizer.apply([tf.constant(randoms(3, 4) * step), tf.constant(-randoms(5) / step)])
        results.append([np.asarray(v) for v in [*variables, *optimizer.variables]])
    assert len(results[0]) == len(results[1])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=5e-5, atol=1e-6)
