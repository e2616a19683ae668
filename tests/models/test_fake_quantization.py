"""Quantization-aware training: what is rounded, when, and what passes back."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from vitconv.models import catalogue
from vitconv.models.layers import fake_quantization
from vitconv.models.layers.batch_norm import BatchNorm
from vitconv.training.steps.optimization import prepare

VALUES = np.random.default_rng(3).normal(0, 2, (4, 6, 6, 8)).astype(np.float32)


def test_values_are_rounded_to_256_steps_between_their_extremes_and_the_gradient_passes() -> None:
    x = tf.constant(VALUES)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = fake_quantization.fake_quantized(x)
    step = (VALUES.max() - VALUES.min()) / 255
    assert 100 < len(np.unique(y.numpy())) <= 256
    np.testing.assert_allclose(
        y, VALUES, atol=step, rtol=0
    )  # half a step, and half more where 0 was moved to a code
    assert 0.0 in y.numpy()
    inside = (VALUES.min() + step < VALUES) & (VALUES.max() - step > VALUES)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy()[inside], 1.0)


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.full((2, 3), 5.0), np.full((2, 3), -0.25)])
def test_constant_values_stay_finite_and_near(values: np.ndarray) -> None:
    y = fake_quantization.fake_quantized(tf.constant(values, tf.float32)).numpy()
    np.testing.assert_allclose(y, values, atol=0.05)


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (fake_quantization.Swish(), VALUES),
        (fake_quantization.Add(), [VALUES, VALUES[::-1].copy()]),
        (BatchNorm(), VALUES),
    ],
)
def test_a_layer_rounds_in_training_only_and_only_when_told(layer: keras.Layer, inputs: np.ndarray) -> None:
    plain = layer(inputs, training=True).numpy()
    assert len(np.unique(plain)) > 256
    layer.fake_quantization = True
    assert len(np.unique(layer(inputs, training=True).numpy())) <= 256
    assert len(np.unique(layer(inputs, training=False).numpy())) > 256


@pytest.mark.parametrize("name", ["mobilevit_xxs", "mobilevit_paper_xxs", "eanet"])
def test_the_recipe_reaches_the_network_and_no_other_recipe_does(name: str) -> None:
    entry = catalogue.find(name)
    model = entry.build(entry.spec(entry.sizes_divide_by), 3)
    for recipe, expected in (("quantization_aware", True), ("best", False)):
        prepare(model, entry.find_recipe(recipe), seed=1)
        flags = {
            layer.fake_quantization for layer in model._flatten_layers() if hasattr(layer, "fake_quantization")
        }
        assert flags == {expected}
