"""scripts/renew-batch-norm: moving statistics become those of the batches seen, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from commands import script
from converted import images, keras_model
from vitconv.foundation.errors import InputError

NAME = "mobilevit_xxs"


@pytest.fixture
def renew():
    return script("renew-batch-norm").renew


def test_statistics_are_the_mean_of_the_batches_and_nothing_else_changes(renew) -> None:
    import keras

    model = keras_model(NAME)
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    batches = [images(NAME, count, seed) for seed, count in ((1, 8), (2, 8), (3, 4))]
    given = keras.Model(model.inputs, first.input)
    sums = [given.predict(batch.astype(np.float32), verbose=0) for batch in batches]
    own = [weight.numpy().copy() for weight in model.weights]
    momentum = first.momentum
    try:
        renew(model, batches)
        means = np.mean([each.mean(axis=(0, 1, 2)) for each in sums], axis=0)
        variances = np.mean([each.var(axis=(0, 1, 2)) for each in sums], axis=0)
        np.testing.assert_allclose(first.moving_mean, means, rtol=1e-5, atol=1e-5 * np.abs(means).max())
        np.testing.assert_allclose(first.moving_variance, variances, rtol=1e-5)
        changed = {
            weight.name for weight, before in zip(model.weights, own, strict=True)
            if not np.array_equal(weight.numpy(), before)
        }  # fmt: skip
        assert changed == {"moving_mean", "moving_variance"}
        assert first.momentum == momentum
        renewed = first.moving_mean.numpy()
        renew(model, batches[1:2])  # what was there before does not count
        assert not np.allclose(first.moving_mean, renewed)
        np.testing.assert_allclose(first.moving_mean, sums[1].mean(axis=(0, 1, 2)), rtol=1e-5, atol=1e-5)
    finally:
        for weight, before in zip(model.weights, own, strict=True):
            weight.assign(before)


def test_a_network_without_batch_norm_is_refused(renew) -> None:
    with pytest.raises(InputError, match="no batch norm"):
        renew(keras_model("eanet"), [images("eanet", 2)])
