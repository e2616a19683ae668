"""RepViT against its published formulation, with its branches and merged, and with timm's weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from converted import float_graph, keras_model
from parity import assert_same, pair
from reference.weights import pictures
from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.errors import CheckpointError
from vitconv.models import catalogue
from vitconv.models.forms import GraphForm, graph_form
from vitconv.models.layers import parallel_branches
from vitconv.tflite import flatbuffer
from vitconv.training import precision, timm_weights
from vitconv.training.first_weights import FirstWeights

NAME = "repvit_m0_9"
MERGED = GraphForm(branches="merged")
BLOCKS = 2 + 2 + 14 + 2 + 3  # and one before each of three halvings
SQUEEZED = 1 + 1 + 7 + 1


def mixer() -> Any:
    return parallel_branches.BranchedDepthwise()


def heads() -> Any:
    return parallel_branches.AveragedHeads(7)


def squeeze() -> Any:
    return parallel_branches.SqueezeExcite(4)


def built(make: Callable[[], Any], shape: tuple[int, ...]) -> Any:
    layer = make()
    layer.build((None, *shape[1:]))
    random = np.random.default_rng(1)
    for weight in layer.weights:
        spread = random.uniform(0.5, 2, weight.shape) if "variance" in weight.name else None
        weight.assign(random.normal(0.2, 0.6, weight.shape) if spread is None else spread)
    return layer


def inputs(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0.3, 1.5, shape).astype(np.float32)


def answers(layer: Any, x: np.ndarray, form: GraphForm) -> np.ndarray:
    with graph_form(form):
        return np.asarray(layer(x))


@pytest.mark.parametrize("form", [GraphForm(), MERGED], ids=["parallel", "merged"])
def test_the_network_answers_as_its_reference(form: GraphForm) -> None:
    ours, reference = pair(NAME, 64, 10)
    images = pictures(4, 64, seed=5)
    with graph_form(form):
        assert_same(ours, reference(images, training=False).numpy(), images)


@pytest.mark.parametrize(("make", "shape"), [(mixer, (2, 5, 6, 8)), (heads, (3, 8))], ids=["mixer", "heads"])
def test_merged_branches_answer_as_the_branches_whatever_a_weight_is(
    make: Callable[[], Any], shape: tuple[int, ...]
) -> None:
    layer, x = built(make, shape), inputs(*shape)
    before = answers(layer, x, GraphForm())
    np.testing.assert_allclose(answers(layer, x, MERGED), before, atol=1e-4, rtol=1e-4)
    for weight in layer.weights:
        value = weight.numpy()
        weight.assign(value * 1.5 + 0.1)
        parallel = answers(layer, x, GraphForm())
        assert np.abs(parallel - before).max() > 1e-3, weight.path
        np.testing.assert_allclose(answers(layer, x, MERGED), parallel, atol=1e-4, rtol=1e-4, err_msg=weight.path)
        weight.assign(value)


@pytest.mark.parametrize(("make", "shape"), [(mixer, (2, 5, 6, 8)), (heads, (3, 8))], ids=["mixer", "heads"])
def test_while_training_the_branches_are_there_whatever_the_form(
    make: Callable[[], Any], shape: tuple[int, ...]
) -> None:
    layer, x = built(make, shape), inputs(*shape)
    before = [weight.numpy() for weight in layer.non_trainable_weights]
    with graph_form(MERGED):
        trained = np.asarray(layer(x, training=True))
    assert np.abs(trained - answers(layer, x, MERGED)).max() > 1e-3  # by the batch's own statistics
    for old, weight in zip(before, layer.non_trainable_weights, strict=True):
        assert np.abs(weight.numpy() - old).max() > 1e-4, weight.path


def test_a_branch_of_the_mixer_is_the_input_itself() -> None:
    layer, x = built(mixer, (1, 4, 4, 3)), inputs(1, 4, 4, 3)
    for part in (layer.conv, layer.point):
        for weight in part.weights:
            weight.assign(np.zeros(weight.shape))
    for norm in (layer.conv_norm, layer.norm):
        norm.set_weights([np.ones(3), np.zeros(3), np.zeros(3), np.ones(3) - norm.epsilon])
    for form in (GraphForm(), MERGED):
        np.testing.assert_allclose(answers(layer, x, form), x, atol=1e-5)


def test_a_channel_is_scaled_by_what_all_channels_mean() -> None:
    layer, x = built(squeeze, (2, 5, 6, 8)), inputs(2, 5, 6, 8)
    narrow, narrow_bias, widen, widen_bias = (weight.numpy() for weight in layer.weights)
    hidden = np.maximum(x.mean(axis=(1, 2)) @ narrow[0, 0] + narrow_bias, 0)
    gate = 1 / (1 + np.exp(-(hidden @ widen[0, 0] + widen_bias)))
    np.testing.assert_allclose(answers(layer, x, GraphForm()), x * gate[:, np.newaxis, np.newaxis], atol=1e-5)
    assert gate.std() > 0.1


@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_exported_graphs_have_one_convolution_where_training_has_branches(scheme: str) -> None:
    model = float_graph(NAME, scheme).model
    names = flatbuffer.operator_names(model)
    kinds = [names[operator.opcodeIndex] for operator in model.subgraphs[0].operators]
    assert kinds.count("DEPTHWISE_CONV_2D") == BLOCKS + 3
    assert kinds.count("ADD") == BLOCKS + 3  # one around each pair of 1×1 convolutions
    assert kinds.count("LOGISTIC") == SQUEEZED
    assert kinds.count("GELU") == BLOCKS + 3 + 1
    # Two convolutions in a pair and in a squeeze, the stem's two, one that widens at each halving.
    dense = kinds.count("CONV_2D") + kinds.count("FULLY_CONNECTED")
    assert dense == 2 * (BLOCKS + 3) + 2 * SQUEEZED + 2 + 3 + 1


def test_the_heads_compute_in_float32_where_the_rest_computes_in_bfloat16() -> None:
    model = catalogue.find(NAME).build(ImageSpec(32, 32), 10)
    precision.compute_in_bfloat16(model)
    head, mixing = model.layers[-1], model.get_layer("stages.0.blocks.0.token_mixer")
    assert {layer.compute_dtype for layer in head._flatten_layers()} == {"float32"}
    assert {layer.compute_dtype for layer in mixing._flatten_layers()} == {"bfloat16"}


# --- timm's weights ---


@cache
def as_timm_has_them() -> dict[str, np.ndarray]:
    """Our network's weights as timm publishes such: its names, and PyTorch's layouts."""
    tensors = {}
    for weight in keras_model(NAME).weights:
        name, third = timm_weights.source(weight.path)
        assert third is None
        value = weight.numpy()
        if value.ndim == 4:
            value = value.transpose((2, 3, 0, 1) if value.shape[-1] == 1 else (3, 2, 0, 1))
        tensors[name] = np.ascontiguousarray(value.T if value.ndim == 2 else value)
    return tensors


def test_timm_s_weights_are_loaded(tmp_path: Path) -> None:
    names = as_timm_has_them()
    save_file({**names, "head.head.bn.num_batches_tracked": np.array(7)}, tmp_path / "timm.safetensors")
    # As timm 1.0 has them.
    for name, shape in {
        "stem.conv1.c.weight": (24, 3, 3, 3),
        "stages.0.blocks.1.token_mixer.conv.c.weight": (48, 1, 3, 3),
        "stages.0.blocks.1.token_mixer.conv.bn.running_var": (48,),
        "stages.0.blocks.1.token_mixer.conv1.weight": (48, 1, 1, 1),
        "stages.0.blocks.1.token_mixer.conv1.bias": (48,),
        "stages.0.blocks.1.token_mixer.bn.weight": (48,),
        "stages.2.blocks.12.se.fc1.weight": (48, 192, 1, 1),
        "stages.2.downsample.pre_block.channel_mixer.conv2.bn.bias": (96,),
        "stages.2.downsample.spatial_downsample.c.weight": (96, 1, 3, 3),
        "stages.2.downsample.channel_downsample.bn.running_mean": (192,),
        "stages.3.downsample.ffn.conv1.c.weight": (768, 384, 1, 1),
        "head.head.bn.running_mean": (384,),
        "head.head_dist.l.weight": (10, 384),
    }.items():
        assert names[name].shape == shape
    model = catalogue.find(NAME).build(ImageSpec(32, 32), 10)
    FirstWeights.open(tmp_path / "timm.safetensors", NAME).put_into(model)
    for one, other in zip(model.weights, keras_model(NAME).weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


def test_other_classes_keep_a_head_of_their_own(tmp_path: Path) -> None:
    save_file(as_timm_has_them(), tmp_path / "timm.safetensors")
    model = catalogue.find(NAME).build(ImageSpec(32, 32), 3)
    own = [weight.numpy() for weight in model.layers[-1].weights]
    FirstWeights.open(tmp_path / "timm.safetensors", NAME).put_into(model)
    for before, weight in zip(own, model.layers[-1].weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), before, err_msg=weight.path)
    np.testing.assert_array_equal(model.weights[0].numpy(), keras_model(NAME).weights[0].numpy())


def test_weights_of_another_network_are_refused_in_words(tmp_path: Path) -> None:
    save_file({"stem.conv1.c.weight": np.ones((24, 3, 3, 3), np.float32)}, tmp_path / "repvit.safetensors")
    with pytest.raises(
        CheckpointError, match=r"timm's RepViT, .* called repvit_m0_9 here; mobilevit_xxs is another"
    ):
        FirstWeights.open(tmp_path / "repvit.safetensors", "mobilevit_xxs")
    with pytest.raises(CheckpointError, match=r"that the network has are missing, such as head\.head\.bn\.bias"):
        FirstWeights.open(tmp_path / "repvit.safetensors", NAME).put_into(keras_model(NAME))
    save_file({"stem.conv.weight": np.ones((16, 3, 3, 3), np.float32)}, tmp_path / "first.safetensors")
    with pytest.raises(CheckpointError, match=r"timm's MobileViT, .*mobilevit_paper_xxs.*repvit_m0_9 is another"):
        FirstWeights.open(tmp_path / "first.safetensors", NAME)
