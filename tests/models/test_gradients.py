"""The gradient written by hand against the one TensorFlow derives."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_double_normalisation_and_its_gradient_equal_those_tensorflow_derives(spread: float) -> None:
    import tensorflow as tf

    from vitconv.models import gradients, layers

    rng = np.random.default_rng(0)
    scores = tf.constant(rng.normal(0, spread, (2, 9, 4, 5)), tf.float32)
    upstream = tf.constant(rng.normal(size=scores.shape), tf.float32)
    results = []
    for function in (gradients.double_normalise, layers.double_normalise):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            value = function(scores)
        results.append((value.numpy(), tape.gradient(value, scores, upstream).numpy()))
    (value, gradient), (expected_value, expected_gradient) = results
    np.testing.assert_allclose(value, expected_value, atol=1e-6)
    # Sums of nine float32 terms of size 1, each rounded to 6e-8.
    np.testing.assert_allclose(gradient, expected_gradient, atol=3e-6)
    assert np.abs(expected_gradient).max() > 1e-3
