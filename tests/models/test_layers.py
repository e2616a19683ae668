"""Each layer against its published formulation, and each graph form against the default one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from vitconv.models.forms import TRAINING_FORM, GraphForm, current_form, graph_form

TOLERANCE = 1e-5


def every_form() -> list[GraphForm]:
    """All combinations of all choices that a GraphForm has, but for that of branches, which these layers lack
    (test_repvit.py has those that have them)."""
    hints = get_type_hints(GraphForm)
    names = [field.name for field in fields(GraphForm) if field.name != "branches"]
    combinations = itertools.product(*(get_args(hints[name]) for name in names))
    return [GraphForm(**dict(zip(names, values, strict=True))) for values in combinations]


def layer_norm() -> Any:
    from vitconv.models.layers.normalisation import LayerNorm

    return LayerNorm(1e-6)


def wide_heads() -> Any:
    """As in the article: heads as wide as the tokens."""
    from vitconv.models.layers.attention import NormedSelfAttention

    return NormedSelfAttention(1e-6, heads=2, key_dim=24)


def narrow_heads() -> Any:
    from vitconv.models.layers.attention import NormedSelfAttention

    return NormedSelfAttention(1e-6, heads=4, key_dim=6)


def external() -> Any:
    from vitconv.models.layers.attention import NormedExternalAttention

    return NormedExternalAttention(
        1e-6, heads=3, head_dim=8, units=5, attention_dropout=0.2, projection_dropout=0.2
    )


def tokens(seed: int = 0) -> np.ndarray:
    """float32 [2, 12, 24] with a mean and a scale of its own in each row."""
    random = np.random.default_rng(seed)
    x = random.normal(0, 1, (2, 12, 24))
    return np.asarray(x * random.uniform(0.5, 2, (2, 12, 1)) + random.normal(0, 1, (2, 12, 1)), np.float32)


def built(make: Callable[[], Any], shape: tuple[int, ...], seed: int = 1) -> Any:
    """The layer with weights as after training."""
    layer = make()
    layer.build((None, *shape[1:]))
    random = np.random.default_rng(seed)
    for weight in layer.weights:
        size = tuple(weight.shape)
        if weight.name == "gamma":
            value = random.uniform(0.5, 1.5, size)
        elif len(size) == 1:
            value = random.normal(0, 0.3, size)
        else:
            value = random.normal(0, 1, size) * 1.5 / np.sqrt(size[0])
        weight.assign(value.astype(np.float32))
    return layer


def call(layer: Any, x: np.ndarray, form: GraphForm = TRAINING_FORM) -> np.ndarray:
    with graph_form(form):
        return np.asarray(layer(x, training=False) if hasattr(layer, "dropout") else layer(x))


def keras_norm(x: np.ndarray, layer: Any) -> np.ndarray:
    import keras

    norm = keras.layers.LayerNormalization(epsilon=layer.epsilon)
    norm.build(x.shape)
    norm.set_weights([layer.gamma.numpy(), layer.beta.numpy()])
    return np.asarray(norm(x))


# --- forms ---


@pytest.mark.parametrize("form", every_form(), ids=str)
@pytest.mark.parametrize("make", [layer_norm, wide_heads, narrow_heads, external])
def test_every_form_of_a_layer_gives_what_the_default_form_gives(make: Callable[[], Any], form: GraphForm) -> None:
    x = tokens()
    layer = built(make, x.shape)
    expected = call(layer, x)
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(call(layer, x, form), expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_a_form_holds_inside_its_block_only() -> None:
    other = GraphForm(layer_norm="magnitudes")
    assert current_form() == TRAINING_FORM
    with graph_form(other):
        assert current_form() == other
    assert current_form() == TRAINING_FORM


def test_a_form_ends_with_its_block_when_that_fails() -> None:
    def fail() -> None:
        with graph_form(GraphForm(layer_norm="magnitudes")):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  raised two lines above
        fail()
    assert current_form() == TRAINING_FORM


# --- layer normalisation ---


def test_layer_norm_is_keras_s_layer_normalization() -> None:
    x = tokens()
    layer = built(layer_norm, x.shape)
    np.testing.assert_allclose(call(layer, x), keras_norm(x, layer), atol=TOLERANCE)


def test_layer_norm_with_another_epsilon_is_noticed() -> None:
    x = tokens()
    layer = built(layer_norm, x.shape)
    expected = keras_norm(x, layer)
    layer.epsilon = 1e-3
    assert np.abs(call(layer, x) - expected).max() > 10 * TOLERANCE


@pytest.mark.parametrize("value", [0.0, 1.0, -3.7, 100.0])
def test_magnitudes_of_an_exactly_constant_row_are_finite_and_no_larger_than_those_of_any_row(
    value: float,
) -> None:
    # Where rounding leaves nothing but noise of the centred row, the noise is scaled up like a signal: the root of
    # a row's sum of squares is √C, whatever the row.
    x = np.full((1, 3, 24), value, np.float32)
    layer = built(layer_norm, x.shape)
    normalised = (call(layer, x, GraphForm(layer_norm="magnitudes")) - layer.beta.numpy()) / layer.gamma.numpy()
    assert np.isfinite(normalised).all()
    assert np.linalg.norm(normalised, axis=-1).max() < np.sqrt(24) * 1.0001


def test_magnitudes_leave_a_zero_row_at_beta() -> None:
    x = np.zeros((1, 3, 24), np.float32)
    layer = built(layer_norm, x.shape)
    np.testing.assert_array_equal(
        call(layer, x, GraphForm(layer_norm="magnitudes"))[0], np.tile(layer.beta.numpy(), (3, 1))
    )


@pytest.mark.parametrize(("deviation", "kept"), [(1.0, 1.0), (1e-2, 0.995), (1e-3, 0.707), (1e-4, 0.0995)])
def test_epsilon_is_lost_with_magnitudes_so_that_rows_flatter_than_its_root_come_out_larger(
    deviation: float, kept: float
) -> None:
    # ε = 1e-6: the default form keeps √(v / (v + ε)) of unit deviation, that of magnitudes all of it.
    row = np.tile(np.float32([deviation, -deviation]), 12)[None, None]
    layer = layer_norm()
    layer.build((None, 1, 24))
    default, other = call(layer, row), call(layer, row, GraphForm(layer_norm="magnitudes"))
    np.testing.assert_allclose(default.std(), kept, rtol=1e-3)
    np.testing.assert_allclose(other.std(), 1.0, rtol=1e-3)


# --- softmax ---


def scores_of(kind: str, count: int) -> np.ndarray:
    """float32 [6, count]"""
    random = np.random.default_rng(count)
    if kind == "normal":  # from flat to one key alone
        return np.asarray(random.normal(0, 1, (6, count)) * [[0], [0.1], [1], [3], [10], [100]], np.float32)
    # One key above all others, which are alike: what makes the weights' sum smallest, where it is ln N above.
    scores = np.zeros((6, count), np.float32)
    scores[:, 0] = np.array([0, 0.5, 1, 1.5, 2, 5]) * np.log(count)
    return scores


@pytest.mark.parametrize("count", [1, 2, 9, 256, 1024])
@pytest.mark.parametrize("kind", ["normal", "one peak"])
def test_a_shifted_softmax_weights_values_as_softmax_does(kind: str, count: int) -> None:
    from vitconv.models.layers.normalisation import attended

    scores = scores_of(kind, count)
    values = np.random.default_rng(0).normal(0, 1, (count, 4)).astype(np.float32)
    raised = np.exp((scores - scores.max(axis=-1, keepdims=True)).astype(np.float64))
    with graph_form(GraphForm(softmax="shifted")):
        # Each query is a row of scores, and each key picks one of them.
        given = np.asarray(attended(scores[None], np.eye(count, dtype=np.float32)[None], values[None])[0])
    expected = raised / raised.sum(axis=-1, keepdims=True) @ values
    np.testing.assert_allclose(given, expected, atol=3 * TOLERANCE)


@pytest.mark.parametrize("count", [2, 64, 1024])
@pytest.mark.parametrize("kind", ["normal", "one peak"])
def test_the_shift_keeps_the_weights_between_0_and_1_and_their_sums_near_each_other(kind: str, count: int) -> None:
    from vitconv.models.layers import normalisation

    scores = scores_of(kind, count)
    weights = np.exp(scores - np.asarray(normalisation.shift_of(scores, scores.mean(axis=-1, keepdims=True))))
    sums = weights.sum(axis=-1)
    assert weights.max() <= 1
    assert sums.min() > 0.999 * count**-0.125
    assert sums.max() < 1.5 * count**0.5  # with the maximum alone it is `count`


# --- attention ---


@pytest.mark.parametrize("make", [wide_heads, narrow_heads])
def test_self_attention_is_keras_s_multi_head_attention_behind_a_layer_normalization(
    make: Callable[[], Any],
) -> None:
    x = tokens()
    layer = built(make, x.shape)
    np.testing.assert_allclose(call(layer, x), keras_attention(x, layer), atol=TOLERANCE)


@pytest.mark.parametrize("make", [layer_norm, wide_heads, narrow_heads, external])
def test_training_without_dropout_gives_the_same_and_the_same_gradients(make: Callable[[], Any]) -> None:
    import tensorflow as tf

    x = tf.constant(tokens())
    layer = built(make, x.shape)
    for name in ("dropout", "attention_dropout", "projection_dropout"):
        if hasattr(layer, name):
            getattr(layer, name).set_rate(0.0)
    upstream = tf.constant(tokens()[::-1].copy())
    results = []
    for training in (True, False):
        variables = [weight.value for weight in layer.weights]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
        results.append([y, *tape.gradient(y, [x, *variables], upstream)])
    names = ["y", "x", *(weight.name for weight in layer.weights)]
    for name, trained, derived in zip(names, *results, strict=True):
        scale = max(1.0, float(np.abs(derived).max()))
        np.testing.assert_allclose(trained / scale, derived / scale, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("kind", ["self", "external"])
def test_dropout_keeps_the_mean_and_differs_from_call_to_call(kind: str) -> None:
    from vitconv.models.layers.attention import NormedSelfAttention

    def dropping() -> Any:
        return external() if kind == "external" else NormedSelfAttention(1e-6, 2, key_dim=24, dropout=0.2)

    x = np.tile(tokens(), (500, 1, 1))
    layer = built(dropping, x.shape)
    one, other = (np.asarray(layer(x, training=True)) for _ in range(2))
    assert np.abs(one - other).max() > 0.01
    # Each element's mean over 500 draws, in standard errors of it. The rate is rounded to 1/256, the scale too.
    off = (one - call(layer, x)).reshape(500, *x[:2].shape)
    assert (np.abs(off.mean(axis=0)) / (off.std(axis=0) / np.sqrt(500))).max() < 6
    assert off.std(axis=0).min() > 0.01


@pytest.mark.parametrize("swapped", [("query", "key"), ("query", "value"), ("key", "value")])
def test_swapped_kernels_are_noticed(swapped: tuple[str, str]) -> None:
    x = tokens()
    layer = built(wide_heads, x.shape)
    expected = keras_attention(x, layer)
    for part in ("kernel", "bias"):
        one, other = (getattr(layer, f"{name}_{part}") for name in swapped)
        first = one.numpy()
        one.assign(other)
        other.assign(first)
    for form in (GraphForm(), GraphForm(attention="merged")):
        assert np.abs(call(layer, x, form) - expected).max() > 100 * TOLERANCE


def keras_attention(x: np.ndarray, layer: Any) -> np.ndarray:
    import keras

    normed = keras_norm(x, layer)
    attention = keras.layers.MultiHeadAttention(layer.heads, layer.key_dim)
    attention.build(x.shape, x.shape)
    values = [weight.numpy() for weight in layer.weights[2:]]
    attention.set_weights(
        [value.reshape(weight.shape) for value, weight in zip(values, attention.weights, strict=True)]
    )
    return np.asarray(attention(normed, normed))


def external_attention(x: np.ndarray, layer: Any) -> np.ndarray:
    """As published, one product after the other, in float64."""
    weights = {weight.name: weight.numpy().astype(np.float64) for weight in layer.weights}

    def dense(values: np.ndarray, name: str) -> np.ndarray:
        return values @ weights[f"{name}_kernel"] + weights[f"{name}_bias"]

    batch, count, _ = x.shape
    y = dense(keras_norm(x, layer).astype(np.float64), "expand")
    y = y.reshape(batch, count, layer.heads, layer.head_dim)
    raised = np.exp(dense(y, "memory_key"))
    over_tokens = raised / raised.sum(axis=1, keepdims=True)
    twice = over_tokens / (1e-9 + over_tokens.sum(axis=-1, keepdims=True))
    y = dense(twice, "memory_value").reshape(batch, count, layer.heads * layer.head_dim)
    return np.asarray(dense(y, "project"))


def test_external_attention_is_its_published_chain_of_products() -> None:
    x = tokens()
    layer = built(external, x.shape)
    np.testing.assert_allclose(call(layer, x), external_attention(x, layer), atol=TOLERANCE)


def test_double_normalise_in_16_bits_has_numbers_for_tokens_like_no_memory_unit() -> None:
    """As GPUs compute it. Published, such a token's weights are all rounded to 0 and then divided by their sum."""
    import tensorflow as tf

    from vitconv.models.layers.normalisation import double_normalise

    scores = np.random.default_rng(0).normal(0, 1, (1, 64, 4, 2)).astype(np.float16)
    scores[0, 5] = -30
    with graph_form(GraphForm(double_norm="scaled")):
        weights = np.asarray(double_normalise(tf.constant(scores)))
    assert weights.dtype == np.float16
    assert np.isfinite(weights).all()
    others = np.delete(weights, 5, axis=1)
    np.testing.assert_allclose(others.sum(axis=2), 1, atol=0.01)
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    over_tokens = raised / raised.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        published = over_tokens / (np.float16(1e-9) + over_tokens.sum(axis=2, keepdims=True))
    assert np.isnan(published[0, 5]).all()


@pytest.mark.parametrize("double_norm", ["divide", "scaled", "logsumexp"])
def test_double_normalise_gives_rows_that_sum_to_one_over_the_memory_units(double_norm: Any) -> None:
    from vitconv.models.layers.normalisation import double_normalise

    scores = np.random.default_rng(0).normal(0, 3, (2, 7, 5, 3)).astype(np.float32)
    with graph_form(GraphForm(double_norm=double_norm)):
        weights = np.asarray(double_normalise(scores))
    np.testing.assert_allclose(weights.sum(axis=2), 1, atol=TOLERANCE)
    over_tokens = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weights, over_tokens / over_tokens.sum(axis=2, keepdims=True), atol=TOLERANCE)


@pytest.mark.parametrize("double_norm", ["divide", "scaled", "logsumexp"])
def test_double_normalise_is_finite_where_scores_are_in_the_hundreds(double_norm: Any) -> None:
    from vitconv.models.layers.normalisation import double_normalise

    scores = np.random.default_rng(0).normal(0, 300, (1, 7, 2, 5)).astype(np.float32)
    with graph_form(GraphForm(double_norm=double_norm)):
        assert np.isfinite(np.asarray(double_normalise(scores))).all()


def test_normalising_over_the_other_axis_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from vitconv.models.layers import attention

    x = tokens()
    layer = built(external, x.shape)
    right = attention.double_normalise

    def turned(scores: Any) -> Any:
        return np.swapaxes(np.asarray(right(np.swapaxes(np.asarray(scores), 1, 3))), 1, 3)

    monkeypatch.setattr(attention, "double_normalise", turned)
    assert np.abs(call(layer, x) - external_attention(x, layer)).max() > 100 * TOLERANCE


# --- patches ---


def test_unfolding_gathers_the_pixels_of_one_position_and_folding_undoes_it() -> None:
    from vitconv.models.layers.patches import FoldPatches, UnfoldPatches

    x = np.arange(2 * 4 * 6 * 3, dtype=np.float32).reshape(2, 4, 6, 3)
    unfolded = np.asarray(UnfoldPatches()(x))
    assert unfolded.shape == (8, 6, 3)
    for image, row, column in itertools.product(range(2), range(4), range(6)):
        position = 2 * (row % 2) + column % 2
        patch = 3 * (row // 2) + column // 2
        np.testing.assert_array_equal(unfolded[4 * image + position, patch], x[image, row, column])
    np.testing.assert_array_equal(np.asarray(FoldPatches(4, 6)(unfolded)), x)


def test_patches_are_embedded_row_by_row_with_their_position() -> None:
    from vitconv.models.layers.patches import PatchEmbedding

    x = np.random.default_rng(0).normal(0, 1, (2, 4, 6, 3)).astype(np.float32)
    layer = built(lambda: PatchEmbedding(2, 5), x.shape)
    kernel, bias, position = (weight.numpy() for weight in layer.weights)
    for number, (row, column) in enumerate(itertools.product(range(2), range(3))):
        patch = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(2, 12)
        np.testing.assert_allclose(
            call(layer, x)[:, number], patch @ kernel + bias + position[number], atol=TOLERANCE
        )


# --- configuration ---


@pytest.mark.parametrize("make", [layer_norm, wide_heads, narrow_heads, external])
def test_a_layer_made_from_its_configuration_is_the_same_layer(make: Callable[[], Any]) -> None:
    import keras

    x = tokens()
    layer = built(make, x.shape)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    copy.set_weights(layer.get_weights())
    assert copy.get_config() == layer.get_config()
    np.testing.assert_array_equal(call(copy, x), call(layer, x))
