"""MobileViTv2's layers and network against their published formulation, in every form, and with timm's weights."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from parity import assert_same, pair
from reference.weights import pictures
from vitconv.foundation.errors import CheckpointError
from vitconv.models.forms import GraphForm, graph_form
from vitconv.models.layers import separable_attention
from vitconv.training import timm_weights
from vitconv.training.first_weights import FirstWeights

NAME = "mobilevitv2_050"
FORMS = [
    GraphForm(projections=projections, layer_norm=layer_norm, softmax=softmax)
    for projections, layer_norm, softmax in itertools.product(
        ("joined", "separate"), ("moments", "magnitudes"), ("fused", "shifted")
    )
]


def tokens(seed: int = 0) -> np.ndarray:
    """float32 [2, 9, 4, 12]"""
    return np.random.default_rng(seed).normal(0.5, 2, (2, 9, 4, 12)).astype(np.float32)


def attention() -> Any:
    layer = separable_attention.SeparableAttention()
    layer.build((None, 9, 4, 12))
    random = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(random.normal(0, 0.4, weight.shape).astype(np.float32))
    return layer


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_of_the_network_answers_as_its_reference(form: GraphForm) -> None:
    ours, reference = pair(NAME, 128, 10)  # its last block has 2 × 2 patches
    images = pictures(4, 128, seed=5)
    with graph_form(form):
        assert_same(ours, reference(images, training=False).numpy(), images)


def test_the_map_is_what_the_keys_are_weighed_with() -> None:
    layer, x = attention(), tokens()
    weights = np.asarray(layer.attention_map(x))  # [B, P, N]
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)
    joined = x @ layer.qkv_proj_kernel.numpy() + layer.qkv_proj_bias.numpy()
    key, value = joined[..., 1:13], joined[..., 13:]
    context = np.einsum("bpn,bnpc->bpc", weights, key)[:, np.newaxis]
    expected = np.maximum(value, 0) * context @ layer.out_proj_kernel.numpy() + layer.out_proj_bias.numpy()
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=1e-4)


def test_a_pixel_is_mixed_with_those_at_its_own_place_alone() -> None:
    layer, x = attention(), tokens()
    other = x.copy()
    other[:, 3, 2] += 1
    changed = np.abs(np.asarray(layer(other)) - np.asarray(layer(x))).max(axis=(0, 1, 3))
    assert changed[2] > 1e-3
    assert changed[[0, 1, 3]].max() < 1e-6


def test_patches_are_cut_and_put_back() -> None:
    picture = np.arange(6 * 4, dtype=np.float32).reshape(1, 6, 4, 1)
    cut = np.asarray(separable_attention.PatchTokens()(picture))
    assert cut.shape == (1, 6, 4, 1)
    assert cut[0, 0, :, 0].tolist() == [0, 1, 4, 5]
    assert np.array_equal(np.asarray(separable_attention.PatchMap(6, 4)(cut)), picture)


def test_the_whole_map_is_normalised_together() -> None:
    layer, x = separable_attention.MapNorm(1e-5), tokens()
    layer.build(x.shape)
    given = np.asarray(layer(x))
    np.testing.assert_allclose(given.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(given.std(axis=(1, 2, 3)), 1, atol=1e-4)
    assert np.abs(given.mean(axis=(2, 3))).max() > 0.1  # and not each token for itself


def timm_file(path: Path) -> dict[str, np.ndarray]:
    """Our network's weights as timm publishes such: its names, and PyTorch's layouts."""
    model, _ = pair(NAME, 128, 10)
    tensors = {}
    for weight in model.weights:
        name, _ = timm_weights.source(weight.path)
        value = weight.numpy()
        if value.ndim == 2 and not name.startswith("head"):
            value = value[np.newaxis, np.newaxis]  # a convolution of 1×1
        if value.ndim == 4:
            value = value.transpose((2, 3, 0, 1) if "conv2_kxk" in name or "conv_kxk" in name else (3, 2, 0, 1))
        tensors[name] = np.ascontiguousarray(value.T if value.ndim == 2 else value)
    save_file(tensors, path)
    return tensors


def test_timm_s_weights_are_loaded(tmp_path: Path) -> None:
    from vitconv.data.pictures.images import ImageSpec
    from vitconv.models import catalogue

    names = timm_file(tmp_path / "timm.safetensors")
    # As timm 1.0 has them.
    assert names["stages.2.1.transformer.0.attn.qkv_proj.weight"].shape == (129, 64, 1, 1)
    assert names["stages.2.1.transformer.1.mlp.fc1.weight"].shape == (128, 64, 1, 1)
    assert names["stages.4.1.conv_kxk.conv.weight"].shape == (256, 1, 3, 3)
    assert names["stages.3.1.norm.weight"].shape == (96,)
    assert "stages.2.1.transformer.0.norm1.bias" in names
    model = catalogue.find(NAME).build(ImageSpec(128, 128), 10)
    FirstWeights.open(tmp_path / "timm.safetensors", NAME).put_into(model)
    for one, other in zip(model.weights, pair(NAME, 128, 10)[0].weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


def test_weights_of_the_other_version_are_refused_in_words(tmp_path: Path) -> None:
    timm_file(tmp_path / "second.safetensors")
    with pytest.raises(
        CheckpointError, match=r"MobileViTv2, the paper's network, which is called mobilevitv2_050"
    ):
        FirstWeights.open(tmp_path / "second.safetensors", "mobilevit_paper_xxs")
    save_file({"stem.conv.weight": np.ones((16, 3, 3, 3), np.float32)}, tmp_path / "first.safetensors")
    with pytest.raises(CheckpointError, match=r"MobileViT, the paper's.*mobilevit_paper_xxs.*mobilevitv2_050 is"):
        FirstWeights.open(tmp_path / "first.safetensors", NAME)
