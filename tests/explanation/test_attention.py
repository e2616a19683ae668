"""Attention maps: rollout's algebra, the layers' own weights, and tokens in their places."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from converted import images, keras_model
from vitconv.explanation.attention import UNITS, _placed, attention_maps, rollout
from vitconv.models.layers.attention import NormedExternalAttention, NormedSelfAttention
from vitconv.models.layers.patches import UnfoldPatches


def test_rollout_follows_a_token_through_the_layers() -> None:
    uniform = np.full((1, 2, 4, 4), 0.25)
    assert rollout([uniform, uniform])[0] == pytest.approx(np.ones(4))
    to_first = np.zeros((1, 1, 4, 4))
    to_first[..., 0] = 1  # every token takes all from the first
    # Of each token half goes to the first; then again half of the rest.
    assert rollout([to_first])[0] == pytest.approx([2.5, 0.5, 0.5, 0.5])
    assert rollout([to_first, to_first])[0] == pytest.approx([3.25, 0.25, 0.25, 0.25])
    # First 1 takes from 2, then 0 takes from 1: what 2 had is in 0.
    first, then = np.eye(4)[np.newaxis, np.newaxis].copy(), np.eye(4)[np.newaxis, np.newaxis].copy()
    first[0, 0, 1], then[0, 0, 0] = np.eye(4)[2], np.eye(4)[1]
    assert rollout([first, then])[0] == pytest.approx([0.5, 0.5 + 0.25, 1.5 + 0.25, 1])
    assert rollout([then, first])[0] == pytest.approx([0.5, 1.0, 1.5, 1])


def test_tokens_of_unfolded_patches_come_back_to_their_places() -> None:
    picture = np.arange(6 * 8, dtype=np.float32).reshape(1, 6, 8, 1)
    shares = np.asarray(UnfoldPatches()(picture))[..., 0]
    assert shares.shape == (4, 12)
    assert np.array_equal(_placed(shares, (48, 64)), picture[0, ..., 0])
    with pytest.raises(ValueError, match="13 tokens"):
        _placed(np.ones((1, 13)), (48, 64))


def test_the_self_attention_map_is_what_the_layer_weighs_its_values_with() -> None:
    layer = NormedSelfAttention(1e-5, heads=2, key_dim=3)
    x = np.random.default_rng(1).normal(size=(1, 5, 6)).astype(np.float32)
    expected = layer(x)
    weights = layer.attention_map(x)
    assert weights.shape == (1, 2, 5, 5)
    assert np.asarray(weights).sum(axis=-1) == pytest.approx(np.ones((1, 2, 5)), abs=1e-5)
    value = layer._query_key_value(keras.ops.layer_normalization(x, epsilon=1e-5))[2]
    mixed = np.asarray(weights @ value).transpose(0, 2, 1, 3).reshape(1, 5, 6)
    given = mixed @ np.asarray(layer.output_kernel) + np.asarray(layer.output_bias)
    assert given == pytest.approx(np.asarray(expected), abs=1e-5)


def test_the_external_attention_map_is_what_the_layer_weighs_its_memory_with() -> None:
    layer = NormedExternalAttention(1e-5, 2, 3, units=4, attention_dropout=0, projection_dropout=0)
    x = np.random.default_rng(2).normal(size=(1, 6, 5)).astype(np.float32)
    expected = np.asarray(layer(x))
    weights = np.asarray(layer.attention_map(x))
    assert weights.shape == (1, 6, 4, 2)
    assert weights.sum(axis=2) == pytest.approx(np.ones((1, 6, 2)), abs=1e-5)
    out_of = np.asarray(layer._merged_kernels()[2]).reshape(2, 4, 5)  # [h, units, C]
    given = np.einsum("bnuh,huc->bnc", weights, out_of) + np.asarray(layer._merged_kernels()[3])
    assert given == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "names", "shapes"),
    [
        ("mobilevit_xxs", ["stage2.mobilevit", "stage3.mobilevit", "stage4.mobilevit"], [(8, 8), (4, 4), (2, 2)]),
        ("mobilevit_paper_xxs", ["stages.2.1", "stages.3.1", "stages.4.1"], [(8, 8), (4, 4), (2, 2)]),
        ("mobilevitv2_050", ["stages.2.1", "stages.3.1", "stages.4.1"], [(8, 8), (4, 4), (2, 2)]),
        ("eanet_self_attention", ["all layers"], [(16, 16)]),
        ("eanet", None, [(16, 16)] * UNITS),
    ],
)
def test_every_network_of_ours_has_maps(name: str, names: list[str] | None, shapes: list[tuple[int, int]]) -> None:
    (picture,) = images(name, 1)
    maps = attention_maps(keras_model(name), picture)
    if names is None:
        assert all("memory unit" in one.name for one in maps)
    else:
        assert [one.name for one in maps] == names
    assert [one.values.shape for one in maps] == shapes
    for one in maps:
        assert one.values.mean() == pytest.approx(1, abs=1e-4)
        assert one.values.min() >= 0


def test_a_network_without_our_layers_has_none() -> None:
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    assert attention_maps(network, np.zeros((8, 8, 3), np.uint8)) == ()
