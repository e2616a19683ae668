"""EANet against its reference formulation, with external attention and with self-attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from built import built
from parity import assert_mutant_is_noticed, assert_same, pair
from reference.weights import pictures

if TYPE_CHECKING:
    import keras

Network = tuple["keras.Model", list[np.ndarray], np.ndarray, np.ndarray]


@pytest.mark.parametrize(("name", "parameters"), [("eanet", 361_380), ("eanet_self_attention", 623_268)])
def test_the_network_has_its_parameters_at_its_own_size(name: str, parameters: int) -> None:
    model = built(name, None, 100)
    assert model.trainable == parameters
    assert (model.input_shape, model.output_shape) == ((32, 32, 3), (100,))


@pytest.mark.parametrize(("name", "classes"), [("eanet", 100), ("eanet_self_attention", 10)])
def test_the_network_answers_as_its_reference(name: str, classes: int) -> None:
    ours, reference = pair(name, 32, classes)
    images = pictures(4, 32, seed=5)
    assert_same(ours, reference(images, training=False).numpy(), images)


# --- mutants: each must be noticed ---


def another_epsilon(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    for layer in model.layers:
        if hasattr(layer, "gamma"):
            layer.epsilon = 1e-3


def swapped_memories(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    """M_k and M_v are both 16 × 16 in the article."""
    layer = model.get_layer("block0.attention")
    keys = layer.key_kernel.numpy()
    layer.key_kernel.assign(layer.value_kernel)
    layer.value_kernel.assign(keys)


def a_dropped_attention(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    layer = model.get_layer("block7.attention")
    layer.project_kernel.assign(layer.project_kernel * 0)
    layer.project_bias.assign(layer.project_bias * 0)


def normalised_over_the_other_axis(model: keras.Model, patch: pytest.MonkeyPatch) -> None:
    from keras import ops

    from vitconv.models.layers import attention

    right = attention.double_normalise

    def turned(scores: Any) -> Any:
        return ops.transpose(right(ops.transpose(scores, (0, 2, 1, 3))), (0, 2, 1, 3))

    patch.setattr(attention, "double_normalise", turned)


def normalised_once(model: keras.Model, patch: pytest.MonkeyPatch) -> None:
    from keras import ops

    from vitconv.models.layers import attention

    patch.setattr(attention, "double_normalise", lambda scores: ops.softmax(scores, axis=1))


def exact_gelu(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    """What `activation="gelu"` means in Keras; the article calls ops.gelu, which is the tanh approximation."""
    from keras import ops

    for layer in model.layers:
        if layer.name.endswith("mlp1"):
            layer.activation = lambda x: ops.gelu(x, approximate=False)


def a_forgotten_position(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    layer = model.get_layer("embed")
    layer.position.assign(layer.position * 0)


def swapped_colours(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    kernel = model.get_layer("embed").kernel
    kernel.assign(kernel.numpy().reshape(4, 3, -1)[:, ::-1].reshape(kernel.shape))


def patches_column_by_column(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    kernel = model.get_layer("embed").kernel
    kernel.assign(np.swapaxes(kernel.numpy().reshape(2, 2, 3, -1), 0, 1).reshape(kernel.shape))


def pixels_that_were_not_normalised(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    layer = model.get_layer("normalise")
    layer.mean, layer.variance = layer.mean * 0, layer.variance * 0 + 1


@pytest.fixture(scope="module")
def network() -> Network:
    """A network, its weights, images, and the reference's probabilities for them."""
    ours, reference = pair("eanet", 32, 10)
    images = pictures(2, 32, seed=5)
    return ours, ours.get_weights(), images, reference(images, training=False).numpy()


@pytest.mark.parametrize(
    "mutate",
    [
        another_epsilon, swapped_memories, a_dropped_attention, normalised_over_the_other_axis, normalised_once,
        exact_gelu, a_forgotten_position, swapped_colours, patches_column_by_column,
        pixels_that_were_not_normalised,
    ],
)  # fmt: skip
def test_a_mutant_is_noticed(
    network: Network,
    mutate: Callable[[keras.Model, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert_mutant_is_noticed(network, mutate, monkeypatch, ("epsilon", "activation", "mean", "variance"))
