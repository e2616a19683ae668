"""The way out of a transformer: Keras's own layers outside training, and what a recipe adds in training."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from vitconv.models import catalogue
from vitconv.models.layers.gradients import swish
from vitconv.models.layers.transformer_exit import IDLE, BranchAdd, ExitConv, ShortcutConcat
from vitconv.training.steps.optimization import prepare, widen_branches

RNG = np.random.default_rng(5)
TOKENS = RNG.normal(3, 2, (4, 5, 6, 8)).astype(np.float32)
SHORTCUT = RNG.normal(1, 1, (200, 2, 3, 4)).astype(np.float32)
FEATURES = RNG.normal(0, 1, (200, 2, 3, 4)).astype(np.float32)


def exit_conv(bias: float) -> ExitConv:
    layer = ExitConv(7, 1, activation=swish, name="project")
    layer.build(TOKENS.shape)
    layer.bias.assign(np.full(7, bias))
    return layer


def test_outside_training_and_without_a_penalty_it_is_keras_s_convolution() -> None:
    layer = exit_conv(0.5)
    plain = keras.layers.Conv2D(7, 1, activation=swish)
    plain.build(TOKENS.shape)
    plain.set_weights(layer.get_weights())
    expected = plain(TOKENS).numpy()
    for penalty, training in ((0.0, False), (0.0, True), (0.3, False), (0.3, True)):
        layer.dead_penalty = penalty
        np.testing.assert_allclose(layer(TOKENS, training=training), expected, atol=1e-5)


@pytest.mark.parametrize("bias", [0.0, -200.0])
def test_the_gradient_is_that_of_the_loss_and_of_the_mean_square_below_minus_four(bias: float) -> None:
    layer = exit_conv(bias)
    layer.dead_penalty = 0.3
    tokens = tf.constant(TOKENS)
    watched = [tokens, *layer.trainable_weights]

    def loss(y: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.square(y - 1))

    with tf.GradientTape() as tape:
        tape.watch(tokens)
        value = loss(layer(tokens, training=True))
    gradients = tape.gradient(value, watched)
    with tf.GradientTape() as tape:
        tape.watch(tokens)
        sums = tf.matmul(tokens, layer.kernel[0, 0]) + layer.bias
        written_out = loss(swish(sums)) + 0.3 * tf.reduce_mean(tf.nn.relu(-4 - sums) ** 2)
    for own, expected in zip(gradients, tape.gradient(written_out, watched), strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-6)
    assert float(value) < float(written_out) or bias == 0  # the loss that is shown is without the penalty


def test_a_dead_convolution_comes_back_by_the_penalty_and_not_without() -> None:
    for penalty, alive in ((0.0, False), (0.1, True)):
        layer = exit_conv(-60.0)
        layer.dead_penalty = penalty
        optimizer = keras.optimizers.Adam(0.5)
        for _ in range(200):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(layer(TOKENS, training=True)) ** 2
            weights = layer.trainable_weights
            optimizer.apply(tape.gradient(loss, weights), weights)
        assert (np.abs(layer(TOKENS)).max() > 0.05) == alive


def spread(x: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.reduce_mean(tf.square(x - tf.reduce_mean(x, axis=(0, 1, 2), keepdims=True))))


def test_outside_training_and_without_a_penalty_a_branch_is_added() -> None:
    layer = BranchAdd(name="add")
    for penalty, training in ((0.0, False), (0.0, True), (0.3, False), (0.3, True)):
        layer.idle_penalty = penalty
        np.testing.assert_array_equal(layer((FEATURES, SHORTCUT), training=training), FEATURES + SHORTCUT)


@pytest.mark.parametrize("scale", [0.01, 0.2, 0.8])
def test_a_branch_is_pushed_apart_where_it_varies_less_than_half_of_the_tokens(scale: float) -> None:
    layer = BranchAdd(name="add")
    layer.idle_penalty = 0.3
    branch, tokens = tf.constant(scale * FEATURES + 7), tf.constant(SHORTCUT)
    with tf.GradientTape() as tape:
        tape.watch([branch, tokens])
        value = tf.reduce_mean(tf.square(layer((branch, tokens), training=True)))
    gradients = tape.gradient(value, [branch, tokens])
    with tf.GradientTape() as tape:
        tape.watch([branch, tokens])
        ratio = spread(branch) / tf.stop_gradient(spread(tokens))
        loss = tf.reduce_mean(tf.square(branch + tokens))
        written_out = loss + 0.3 * tf.nn.relu(IDLE - ratio) ** 2
    assert (float(ratio) < IDLE) == (scale < 0.5)
    for own, expected in zip(gradients, tape.gradient(written_out, [branch, tokens]), strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-9)
    assert float(value) == float(loss)  # what is shown is without the penalty


def test_a_branch_that_is_constant_has_no_push_and_no_nan() -> None:
    layer = BranchAdd(name="add")
    layer.idle_penalty = 1.0
    branch = tf.zeros_like(FEATURES)
    with tf.GradientTape() as tape:
        tape.watch(branch)
        value = tf.reduce_sum(layer((branch, tf.constant(SHORTCUT)), training=True))
    np.testing.assert_array_equal(tape.gradient(value, branch), np.ones_like(FEATURES))


def test_a_shortcut_is_dropped_for_some_images_in_training_alone() -> None:
    layer = ShortcutConcat(name="concat")
    whole = np.concatenate([SHORTCUT, FEATURES], axis=-1)
    np.testing.assert_array_equal(layer([SHORTCUT, FEATURES], training=True), whole)
    layer.drop = 0.25
    np.testing.assert_array_equal(layer([SHORTCUT, FEATURES], training=False), whole)
    first, second = (layer([SHORTCUT, FEATURES], training=True).numpy() for _ in range(2))
    for joined in (first, second):
        np.testing.assert_array_equal(joined[..., 4:], FEATURES)
        dropped = np.all(joined[..., :4] == 0, axis=(1, 2, 3))
        np.testing.assert_array_equal(joined[~dropped], whole[~dropped])
        assert 0.12 < dropped.mean() < 0.4
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(("name", "branches"), [("mobilevit_xxs", 18), ("mobilevit_paper_xxs", 18), ("eanet", 16)])
def test_the_last_kernel_of_each_branch_is_widened_and_nothing_else(name: str, branches: int) -> None:
    entry = catalogue.find(name)
    model = entry.build(entry.spec(entry.sizes_divide_by), 3)
    before = [weight.numpy() for weight in model.weights]
    widen_branches(model, 3.0)
    pairs = [(old, new.numpy()) for old, new in zip(before, model.weights, strict=True)]
    changed = [(old, new) for old, new in pairs if not np.array_equal(old, new)]
    assert len(changed) == branches
    for old, new in changed:
        np.testing.assert_allclose(new, 3 * old, rtol=1e-6)


def test_the_recipe_reaches_every_block_and_each_drops_for_other_images() -> None:
    entry = catalogue.find("mobilevit_xxs")
    model = entry.build(entry.spec(entry.sizes_divide_by), 3)
    for recipe in (entry.find_recipe("best"), entry.recipe):
        prepare(model, recipe, seed=7)
        exits = [layer for layer in model.layers if isinstance(layer, ExitConv)]
        joins = [layer for layer in model.layers if isinstance(layer, ShortcutConcat)]
        assert [layer.dead_penalty for layer in exits] == [recipe.dead_penalty] * 3
        assert [layer.drop for layer in joins] == [recipe.shortcut_drop] * 3
        adds = [layer for layer in model.layers if isinstance(layer, BranchAdd)]
        assert [layer.idle_penalty for layer in adds] == [recipe.idle_penalty] * 18
        assert len({tuple(np.asarray(layer.seed_generator.state)) for layer in joins}) == 3
    assert min(entry.find_recipe("best").dead_penalty, entry.find_recipe("best").idle_penalty) > 0
