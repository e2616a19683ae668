"""The gradients written by hand against those TensorFlow derives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


def value_and_gradients(function: Callable[..., Any], inputs: list[Any], upstream: Any) -> list[np.ndarray]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = function(*inputs)
    return [np.asarray(array) for array in (value, *tape.gradient(value, inputs, upstream))]


def dropout(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.where(rng.random(shape) < 0.3, 0, 1 / 0.7).astype(np.float32)


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_double_normalisation_and_its_gradient_are_those_tensorflow_derives(spread: float, dropped: bool) -> None:
    import tensorflow as tf

    from vitconv.models.layers import gradients, normalisation

    rng = np.random.default_rng(0)
    scores = tf.constant(rng.normal(0, spread, (2, 9, 4, 5)), tf.float32)
    upstream = tf.constant(rng.normal(size=scores.shape), tf.float32)
    factors = dropout(rng, scores.shape) if dropped else None
    given = value_and_gradients(lambda x: gradients.double_normalise(x, factors), [scores], upstream)

    def derived(scores: Any) -> Any:
        by_unit = normalisation.double_normalise(tf.transpose(scores, (0, 1, 3, 2)))
        return tf.transpose(by_unit, (0, 1, 3, 2)) * (1 if factors is None else factors)

    expected = value_and_gradients(derived, [scores], upstream)
    np.testing.assert_allclose(given[0], expected[0], atol=2e-6)
    # Sums of nine float32 terms of size 1, each rounded to 6e-8.
    np.testing.assert_allclose(given[1], expected[1], atol=3e-6)
    assert np.abs(expected[1]).max() > 1e-3


@pytest.mark.parametrize("dropped", [False, True])
def test_attention_and_its_gradients_are_those_tensorflow_derives(dropped: bool) -> None:
    import tensorflow as tf

    from vitconv.models.layers import gradients

    rng = np.random.default_rng(1)
    inputs = [tf.constant(rng.normal(size=(2, 3, 9, 4)), tf.float32) for _ in range(3)]
    upstream = tf.constant(rng.normal(size=(2, 3, 9, 4)), tf.float32)
    factors = dropout(rng, (2, 3, 9, 9)) if dropped else None

    def published(query: Any, key: Any, value: Any) -> Any:
        weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True))
        return tf.matmul(weights * (1 if factors is None else factors), value)

    given = value_and_gradients(lambda *parts: gradients.attention(*parts, factors), inputs, upstream)
    expected = value_and_gradients(published, inputs, upstream)
    for array, right in zip(given, expected, strict=True):
        np.testing.assert_allclose(array, right, atol=3e-6)
        assert np.abs(right).max() > 0.1


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_normalisation_and_its_gradient_are_those_tensorflow_derives(offset: float) -> None:
    import tensorflow as tf

    from vitconv.models.layers import gradients, normalisation

    rng = np.random.default_rng(2)
    x = tf.constant(rng.normal(offset, 0.5, (3, 5, 16)), tf.float32)
    upstream = tf.constant(rng.normal(size=x.shape), tf.float32)
    given = value_and_gradients(lambda x: gradients.normalise(x, 1e-2), [x], upstream)
    expected = value_and_gradients(lambda x: normalisation.normalise(x, 1e-2), [x], upstream)
    for array, right in zip(given, expected, strict=True):
        # The mean of values near 30 is rounded to 2e-6, and divided by a deviation of 0.5.
        np.testing.assert_allclose(array, right, atol=2e-5)
        assert np.abs(right).max() > 0.1
