"""What takes part in a network's answers: each part is found, a dead one shows no effect, a live one its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from converted import CLASSES, images, keras_model
from shared import made_once
from vitconv.models import liveness

PARTS = {
    "mobilevit_xxs": {"residual": 3, "attention": 9, "mlp": 9, "layer": 9, "block": 3},
    "mobilevit_paper_xxs": {"residual": 3, "attention": 9, "mlp": 9, "layer": 9, "block": 3},
    "mobilevitv2_050": {"residual": 1, "attention": 9, "mlp": 9, "layer": 9},
    "repvit_m0_9": {"residual": 26},
    "eanet": {"attention": 8, "mlp": 8, "layer": 8},
}


@contextmanager
def changed(*values: tuple[Any, Any]) -> Iterator[None]:
    """Variables of a shared model with other values, for a while."""
    before = [variable.numpy().copy() for variable, _ in values]
    try:
        for variable, value in values:
            variable.assign(np.broadcast_to(value, variable.shape))
        yield
    finally:
        for (variable, _), value in zip(values, before, strict=True):
            variable.assign(value)


def answers(name: str, pictures: np.ndarray) -> np.ndarray:
    return np.asarray(keras_model(name)(pictures.astype(np.float32), training=False))


def effects(name: str, pictures: np.ndarray, labels: np.ndarray | None = None) -> dict[tuple[str, str], Any]:
    return {(one.name, one.kind): one for one in liveness.measure(keras_model(name), pictures, labels)}


@made_once
def effects_in_whole(name: str, count: int) -> dict[tuple[str, str], Any]:
    """Of the network as it is, on `images`, whose classes are `classes`."""
    return effects(name, images(name, count), classes(count))


def classes(count: int) -> np.ndarray:
    return np.arange(count) % CLASSES


def expect(effect: liveness.Effect, whole: np.ndarray, without: np.ndarray) -> None:
    """Against the definition, computed here from the answers of a network whose weights were set to 0."""
    kl = np.mean(np.sum(whole * np.log(whole / without), axis=1, dtype=np.float64))
    assert effect.kl == pytest.approx(kl, rel=1e-2, abs=1e-6)
    assert effect.changed == np.mean(whole.argmax(axis=1) != without.argmax(axis=1))


@pytest.mark.parametrize("name", list(PARTS))
def test_every_part_is_found_in_the_order_of_the_network(name: str) -> None:
    cuts = liveness.find_cuts(keras_model(name))
    kinds = [cut.kind for cut in cuts]
    assert {kind: kinds.count(kind) for kind in kinds} == PARTS[name]
    names = [(cut.name, cut.kind) for cut in cuts]
    assert len(set(names)) == len(names)
    layers = [cut.name for cut in cuts if cut.kind == "layer"]
    assert layers == sorted(layers)


@pytest.mark.parametrize(
    ("name", "attention", "mlp", "layer"),
    [
        ("mobilevit_xxs", "stage3.mobilevit.transformer1.attention", "mlp2", "stage3.mobilevit.transformer1"),
        ("mobilevit_paper_xxs", "stages.4.1.transformer.2.attn", "mlp.fc2", "stages.4.1.transformer.2"),
        ("eanet", "block5.attention", "mlp2", "block5"),
    ],
)
def test_an_effect_is_that_of_setting_the_branch_s_last_weights_to_zero(
    name: str, attention: str, mlp: str, layer: str
) -> None:
    model, pictures, labels = keras_model(name), images(name, 12), classes(12)
    whole, found = answers(name, pictures), effects_in_whole(name, 12)
    weights = [(weight, 0.0) for weight in model.get_layer(attention).weights[-2:]]  # of its output
    dense = [(weight, 0.0) for weight in model.get_layer(f"{layer}.{mlp}").weights]
    for kind, zeros in (("attention", weights), ("mlp", dense), ("layer", weights + dense)):
        effect = found[layer if kind == "layer" else f"{layer}.{kind}", kind]
        with changed(*zeros):
            without = answers(name, pictures)
        expect(effect, whole, without)
        lost = np.mean(whole.argmax(axis=1) == labels) - np.mean(without.argmax(axis=1) == labels)
        assert effect.lost == pytest.approx(100 * lost)
        assert effect.kl > 1e-5


@pytest.mark.parametrize("name", ["mobilevit_xxs", "mobilevit_paper_xxs"])
def test_a_block_is_cut_where_it_joins_its_shortcut_and_an_inverted_residual_where_it_is_added(name: str) -> None:
    model, pictures = keras_model(name), images(name, 12)
    whole, found = answers(name, pictures), effects_in_whole(name, 12)
    article = name == "mobilevit_xxs"
    block, fuse = ("stage2.mobilevit", "fuse") if article else ("stages.2.1", "conv_fusion.conv")
    kernel = model.get_layer(f"{block}.{fuse}").kernel
    half = kernel.numpy().copy()
    half[:, :, half.shape[2] // 2 :] = 0  # the shortcut comes first, the transformer's features behind it
    with changed((kernel, half)):
        expect(found[block, "block"], whole, answers(name, pictures))
    residual, norm = ("stage1.residual2", "project_bn") if article else ("stages.1.2", "conv3_1x1.bn")
    scale = model.get_layer(f"{residual}.{norm}")
    with changed((scale.gamma, 0.0), (scale.beta, 0.0)):
        expect(found[residual, "residual"], whole, answers(name, pictures))


def test_a_transformer_behind_a_silent_convolution_has_no_effect_and_the_others_have() -> None:
    name, dead = "mobilevit_xxs", "stage3.mobilevit"
    bias = keras_model(name).get_layer(f"{dead}.project").bias
    with changed((bias, -200.0)):
        found = effects(name, images(name, 8))
    for (part, kind), effect in found.items():
        if part.startswith(dead):
            assert (effect.kl, effect.changed) == (pytest.approx(0, abs=1e-9), 0), (part, kind)
            assert effect.kl_of_mean == pytest.approx(0, abs=1e-9), (part, kind)
        else:
            assert effect.kl > 1e-5, (part, kind)
    named = {(effect.name, effect.kind) for effect in liveness.silent(found.values(), least=1e-5)}
    assert named == {(f"{dead}.transformer{index}", "layer") for index in range(4)} | {(dead, "block")}


def test_a_part_that_gives_the_same_for_every_picture_is_missed_but_its_mean_does_as_well() -> None:
    name, layer = "mobilevit_xxs", "stage2.mobilevit.transformer1"
    dense = keras_model(name).get_layer(f"{layer}.mlp2")
    with changed((dense.kernel, 0.0), (dense.bias, 1.0)):
        found = effects(name, images(name, 8))
    assert found[f"{layer}.mlp", "mlp"].kl > 1e-5
    assert found[f"{layer}.mlp", "mlp"].kl_of_mean == pytest.approx(0, abs=1e-7)
    assert found[f"{layer}.attention", "attention"].kl_of_mean > 1e-7


def test_a_layer_is_silent_where_either_way_of_taking_it_away_changes_nothing() -> None:
    """Cut out, a dead layer may still move the answers: the network counts on the number that it always adds."""
    kinds = [("layer", 0.5, 0.4), ("layer", 0.0, 0.5), ("block", 0.5, 1e-9), ("mlp", 0.0, 0.0), ("residual", 0, 0)]
    effects = [liveness.Effect(str(n), kind, kl, 0.0, mean) for n, (kind, kl, mean) in enumerate(kinds)]  # type: ignore[arg-type]
    assert [one.name for one in liveness.silent(effects)] == ["1", "2", "4"]


def test_a_network_without_such_parts_has_none() -> None:
    import keras

    inputs = keras.Input((4, 4, 3))
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(inputs))
    assert liveness.measure(keras.Model(inputs, outputs), np.zeros((3, 4, 4, 3), np.uint8)) == ()


def test_the_mean_is_never_of_an_image_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be the image itself, and every part of a network for large images would seem dead."""
    monkeypatch.setattr(liveness, "PIXELS", 1)
    sizes = []
    make = liveness._mean_over_images
    monkeypatch.setattr(
        liveness, "_mean_over_images", lambda x, images: (sizes.append(images), make(x, images))[1]
    )
    told: list[tuple[str, int, int]] = []
    found = liveness.measure(keras_model("eanet"), images("eanet", 9), progress=lambda *now: told.append(now))
    assert min(sizes) >= liveness.LEAST_IMAGES
    assert sum(sizes) == 9 * len(found)
    assert told[0][1:] == (0, 9)
    assert told[-1][1:] == (9, 9)


def test_divergence_is_zero_of_the_same_known_of_two_and_finite_where_an_answer_is_ruled_out() -> None:
    p = np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]])
    q = np.array([[0.5, 0.5], [0.5, 0.5], [0.0, 1.0]])
    known = 0.25 * np.log(0.5) + 0.75 * np.log(1.5)
    np.testing.assert_allclose(liveness.divergence(p, q), [0, known, 12 * np.log(10)], rtol=1e-9)
    np.testing.assert_array_equal(liveness.divergence(p, p), 0)
