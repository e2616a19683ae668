"""scripts/wake-dead-layers: convolutions whose swish is 0 everywhere take part again, and no others change."""

from __future__ import annotations

import numpy as np
import pytest

from commands import script
from converted import images, keras_model

NAME = "mobilevit_xxs"
DEAD = "stage3.mobilevit.project"


@pytest.fixture
def wake():
    return script("wake-dead-layers").wake


def weights(model) -> dict[str, np.ndarray]:
    return {variable.path: variable.numpy().copy() for variable in model.weights}


def test_a_dead_convolution_is_made_anew_and_nothing_else(wake) -> None:
    import keras

    model, pictures = keras_model(NAME), images(NAME, 8).astype(np.float32)
    layer = model.get_layer(DEAD)
    before = weights(model)
    own = layer.get_weights()
    try:
        layer.bias.assign(np.full_like(own[1], -200))
        output = keras.Model(model.inputs, layer.output)
        assert np.abs(output.predict(pictures, verbose=0)).max() < 1e-3
        assert wake(model, pictures) == [DEAD]
        given = output.predict(pictures, verbose=0)
        assert 0.3 < given.std() < 1  # swish of mean 0 and deviation 1
        after = weights(model)
        changed = {path for path in before if not np.array_equal(before[path], after[path])}
        assert changed == {layer.kernel.path, layer.bias.path}
        assert wake(model, pictures) == []
    finally:
        layer.set_weights(own)


def test_a_network_that_is_alive_is_left_as_it_is(wake) -> None:
    model = keras_model(NAME)
    before = weights(model)
    assert wake(model, images(NAME, 4).astype(np.float32)) == []
    assert all(np.array_equal(before[path], value) for path, value in weights(model).items())
