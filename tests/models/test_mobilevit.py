"""MobileViT against its reference formulations, the article's and the paper's."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from built import built
from parity import LOG_TOLERANCE, assert_mutant_is_noticed, assert_same, pair
from reference.weights import pictures
from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.errors import InputError
from vitconv.models import catalogue
from vitconv.models.forms import GraphForm, graph_form

if TYPE_CHECKING:
    import keras

NAMES = ("mobilevit_xxs", "mobilevit_paper_xxs", "mobilevit_paper_xs", "mobilevit_paper_s", "mobilevitv2_050")


def test_the_article_s_network_has_its_parameters_at_its_own_size() -> None:
    model = built("mobilevit_xxs", None, 5)
    assert (model.parameters, model.trainable) == (1_307_621, 1_305_077)
    assert (model.input_shape, model.output_shape) == ((256, 256, 3), (5,))


@pytest.mark.parametrize(("size", "parameters"), [("xxs", 1_272_024), ("xs", 2_317_848), ("s", 5_578_632)])
def test_the_paper_s_networks_have_their_parameters_at_their_own_size(size: str, parameters: int) -> None:
    model = built(f"mobilevit_paper_{size}", None, 1000)
    assert model.trainable == parameters
    assert model.output_shape == (1000,)


@pytest.mark.parametrize("name", NAMES)
def test_the_network_answers_as_its_reference(name: str) -> None:
    ours, reference = pair(name, 64, 10)
    images = pictures(4, 64, seed=5)
    assert_same(ours, reference(images, training=False).numpy(), images)


def test_the_article_s_network_answers_as_its_reference_at_its_own_size() -> None:
    ours, reference = pair("mobilevit_xxs", 256, 5)
    images = pictures(1, 256, seed=5)
    assert_same(ours, reference(images, training=False).numpy(), images)


@pytest.mark.parametrize("layer_norm", ["moments", "magnitudes"])
@pytest.mark.parametrize("attention", ["projected", "merged"])
def test_centred_tokens_give_the_paper_s_network_s_answers(layer_norm: Any, attention: Any) -> None:
    """At 96 pixels the last block's feature map is enlarged, too, which keeps the mean 0."""
    model, _ = pair("mobilevit_paper_xxs", 96, 10)
    images = pictures(2, 96, seed=5)
    plain, centred = (
        GraphForm(layer_norm=layer_norm, attention=attention, tokens=tokens) for tokens in ("published", "centred")
    )
    streams = [layer.output for layer in model.layers if ".transformer." in layer.name and "add" in layer.name]
    watched = keras_model(model, [*streams, model.output])
    with graph_form(plain):
        *before, expected = watched(images, training=False)
    with graph_form(centred):
        *after, answers = watched(images, training=False)
    assert np.abs(np.log(answers) - np.log(expected)).max() < LOG_TOLERANCE
    assert len(after) == 2 * (2 + 4 + 3)
    for tokens, others in zip(after, before, strict=True):
        assert np.abs(np.mean(tokens, axis=-1)).max() < 1e-5
        assert np.abs(np.mean(others, axis=-1)).max() > 1e-2


def keras_model(model: keras.Model, outputs: list[Any]) -> keras.Model:
    import keras

    return keras.Model(model.input, outputs)


def test_odd_feature_maps_are_enlarged_for_their_patches_as_in_the_reference() -> None:
    # 96 pixels leave 3 × 3 for the last block, as 224 leave 7 × 7.
    ours, reference = pair("mobilevit_paper_xxs", 96, 10)
    images = pictures(4, 96, seed=5)
    assert_same(ours, reference(images, training=False).numpy(), images)


def test_the_network_takes_images_that_are_not_square() -> None:
    for name in ("mobilevit_xxs", "mobilevit_paper_xxs"):
        model = catalogue.find(name).build(ImageSpec(64, 128), 5)
        assert model(np.zeros((1, 64, 128, 3), np.float32), training=False).shape == (1, 5)


@pytest.mark.parametrize(("name", "size"), [("mobilevit_xxs", 48), ("mobilevit_paper_s", 100), ("eanet", 33)])
def test_a_size_that_does_not_divide_is_refused(name: str, size: int) -> None:
    with pytest.raises(InputError, match=f"multiples of .*, not {size}"):
        catalogue.find(name).spec(size)


# --- mutants: each must be noticed ---


def attentions(model: keras.Model) -> list[Any]:
    return [layer for layer in model.layers if hasattr(layer, "query_kernel")]


def another_epsilon(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    for layer in model.layers:
        if hasattr(layer, "gamma") and hasattr(layer, "epsilon") and not hasattr(layer, "moving_mean"):
            layer.epsilon = 1e-3


def another_batch_norm_epsilon(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    for layer in model.layers:
        if hasattr(layer, "moving_mean"):
            layer.epsilon *= 100


def swapped_query_and_key(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    layer = attentions(model)[0]
    for one, other in ((layer.query_kernel, layer.key_kernel), (layer.query_bias, layer.key_bias)):
        value = one.numpy()
        one.assign(other)
        other.assign(value)


def another_number_of_heads(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    for layer in attentions(model):
        layer.heads, layer.key_dim = layer.heads * 2, layer.key_dim // 2


def a_dropped_attention(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    layer = attentions(model)[-1]
    layer.output_kernel.assign(layer.output_kernel * 0)
    layer.output_bias.assign(layer.output_bias * 0)


def softmax_over_the_other_axis(model: keras.Model, patch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    from vitconv.models.layers import normalisation

    other = SimpleNamespace(softmax=lambda x: tf.nn.softmax(x, axis=-2))
    patch.setattr(normalisation, "tf", SimpleNamespace(nn=other, matmul=tf.matmul))


def another_pixel_scale(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    model.get_layer("rescale").scale = 1 / 127.5


def rows_for_columns(model: keras.Model, patch: pytest.MonkeyPatch) -> None:
    """Images lie on their side."""
    stem = next(layer for layer in model.layers if hasattr(layer, "kernel"))
    stem.kernel.assign(np.swapaxes(stem.kernel.numpy(), 0, 1))


def swapped_colours(model: keras.Model, _: pytest.MonkeyPatch) -> None:
    stem = next(layer for layer in model.layers if hasattr(layer, "kernel"))
    stem.kernel.assign(stem.kernel.numpy()[:, :, ::-1])


@pytest.fixture(scope="module", params=["mobilevit_xxs", "mobilevit_paper_xxs"])
def network(request: pytest.FixtureRequest) -> tuple[keras.Model, list[np.ndarray], np.ndarray, np.ndarray]:
    """A network, its weights, images, and the reference's probabilities for them."""
    ours, reference = pair(request.param, 64, 10)
    images = pictures(2, 64, seed=5)
    return ours, ours.get_weights(), images, reference(images, training=False).numpy()


@pytest.mark.parametrize(
    "mutate",
    [
        another_epsilon, another_batch_norm_epsilon, swapped_query_and_key, another_number_of_heads,
        a_dropped_attention, softmax_over_the_other_axis, another_pixel_scale, rows_for_columns, swapped_colours,
    ],
)  # fmt: skip
def test_a_mutant_is_noticed(
    network: tuple[keras.Model, list[np.ndarray], np.ndarray, np.ndarray],
    mutate: Callable[[keras.Model, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert_mutant_is_noticed(network, mutate, monkeypatch, ("epsilon", "heads", "key_dim", "scale"))
