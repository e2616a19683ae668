from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from reference.weights import pictures, trained_like, transplant

if TYPE_CHECKING:
    import keras

    from reference.eanet_article import Attention
    from reference.mobilevit_paper import Variant


def article() -> keras.Model:
    from reference import mobilevit_article

    return mobilevit_article.build(image_size=64)


def external_attention() -> keras.Model:
    from reference import eanet_article

    return eanet_article.build()


def self_attention() -> keras.Model:
    from reference import eanet_article

    return eanet_article.build(attention="self_attention")


def paper_xxs() -> keras.Model:
    from reference import mobilevit_paper

    return mobilevit_paper.build("xxs", num_classes=10, image_size=64)


def paper_xs() -> keras.Model:
    from reference import mobilevit_paper

    return mobilevit_paper.build("xs", num_classes=10, image_size=64)


def paper_s() -> keras.Model:
    from reference import mobilevit_paper

    return mobilevit_paper.build("s", num_classes=10, image_size=64)


def second_version() -> keras.Model:
    from reference import mobilevitv2_paper

    return mobilevitv2_paper.build(num_classes=10, image_size=64)


def repvit() -> keras.Model:
    from reference import repvit_paper

    return repvit_paper.build(num_classes=10, image_size=64)


every_network = pytest.mark.parametrize(
    "build", [article, external_attention, self_attention, paper_xxs, paper_xs, paper_s, second_version, repvit]
)


def trainable_parameters(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_the_article_s_mobilevit_has_its_number_of_parameters() -> None:
    from reference import mobilevit_article

    model = mobilevit_article.build()
    assert model.count_params() == 1_307_621
    assert trainable_parameters(model) == 1_305_077
    assert model.input_shape == (None, 256, 256, 3)
    assert model.output_shape == (None, 5)


@pytest.mark.parametrize(
    ("attention", "parameters"), [("external_attention", 361_380), ("self_attention", 623_268)]
)
def test_eanet_has_the_parameters_of_its_layers_with_and_without_augmentation(
    attention: Attention, parameters: int
) -> None:
    from reference import eanet_article

    for build in (eanet_article.build, eanet_article.build_as_published):
        model = build(attention=attention)
        assert trainable_parameters(model) == parameters
        # The mean and variance of three channels, and a count.
        assert model.count_params() == parameters + 7
        constant = build(attention=attention, mean=(129, 124, 112), variance=(4647, 4276, 4959))
        assert constant.count_params() == parameters
        assert model.output_shape == (None, 100)


@pytest.mark.parametrize(("variant", "parameters"), [("xxs", 1_272_024), ("xs", 2_317_848), ("s", 5_578_632)])
def test_the_paper_s_mobilevit_has_timm_s_number_of_parameters(variant: Variant, parameters: int) -> None:
    from reference import mobilevit_paper

    # PyTorch counts no moving mean or variance, so Keras's trainable parameters are what compares.
    assert trainable_parameters(mobilevit_paper.build(variant, image_size=64)) == parameters


def test_an_image_size_that_does_not_divide_into_patches_is_refused() -> None:
    from reference import mobilevit_article, mobilevit_paper

    for build, step in ((mobilevit_article.build, 64), (mobilevit_paper.build, 32)):
        with pytest.raises(ValueError, match=f"multiple of {step}, not 240"):
            build(image_size=240)


@every_network
def test_a_trained_like_network_tells_images_apart_without_being_sure(
    build: Callable[[], keras.Model],
) -> None:
    model = build()
    trained_like(model, seed=0)
    probabilities = model(pictures(8, model.input_shape[1], seed=99), training=False).numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    logs = np.log(probabilities + 1e-12)
    # 0: sure of one class; 1: all classes alike.
    entropy = -(probabilities * logs).sum(axis=1) / np.log(probabilities.shape[1])
    spread = logs.std(axis=0).mean()
    print(f"{model.name}: entropy {entropy.min():.2f} to {entropy.max():.2f}, between images {spread:.2f}")
    assert entropy.min() > 0.2
    assert entropy.max() < 0.995
    assert spread > 0.05


@pytest.mark.parametrize("build", [article, external_attention])
def test_trained_like_gives_the_same_weights_for_the_same_seed_only(build: Callable[[], keras.Model]) -> None:
    first, second = build(), build()
    trained_like(first, seed=3)
    trained_like(second, seed=4)
    others = [weight.numpy() for weight in second.weights]
    trained_like(second, seed=3)
    for one, same, other in zip(first.weights, second.weights, others, strict=True):
        # The moving figures are sums over activations, whose last digits may hang on the order of adding up.
        np.testing.assert_allclose(one.numpy(), same.numpy(), rtol=1e-4, atol=1e-6, err_msg=one.path)
        assert one.path.endswith("/count") or not np.allclose(one.numpy(), other), one.path


def test_trained_like_leaves_no_weight_as_it_was_made() -> None:
    model = article()
    made = [weight.numpy() for weight in model.weights]
    trained_like(model, seed=0)
    for weight, before in zip(model.weights, made, strict=True):
        # Of a million values one or two are the same by chance; of statistics that stayed, all are.
        assert np.mean(weight.numpy() == before) < 0.01, weight.path


def test_the_published_eanet_answers_at_inference_as_the_one_without_augmentation() -> None:
    from reference import eanet_article

    plain, published = eanet_article.build(10), eanet_article.build_as_published(10)
    trained_like(plain, seed=0)
    transplant(plain, published)
    images = pictures(4, 32, seed=1)
    np.testing.assert_allclose(
        published(images, training=False), plain(images, training=False), rtol=1e-4, atol=1e-6
    )


def test_transplant_makes_a_network_answer_as_its_source() -> None:
    source, target = paper_xxs(), paper_xxs()
    trained_like(source, seed=0)
    transplant(source, target)
    images = pictures(2, 64, seed=1)
    np.testing.assert_array_equal(source(images), target(images))


def test_transplanted_pixel_figures_are_computed_with() -> None:
    from reference import eanet_article

    source = eanet_article.build(10)
    trained_like(source, seed=0)
    mean, variance, _, *others = [weight.numpy() for weight in source.weights]
    constant = eanet_article.build(10, mean=mean.tolist(), variance=variance.tolist())
    constant.set_weights(others)
    target = eanet_article.build(10)
    transplant(source, target)
    images = pictures(4, 32, seed=1)
    np.testing.assert_allclose(target(images), source(images), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(target(images), constant(images), rtol=1e-4, atol=1e-6)


def attention_model(name: str = "source") -> keras.Model:
    """Two heads of 4 over 3 tokens of 8 channels, behind a normalisation."""
    import keras

    tokens = keras.Input((3, 8))
    x = keras.layers.LayerNormalization(name="norm")(tokens)
    x = keras.layers.MultiHeadAttention(2, key_dim=4, name="attention")(x, x)
    return keras.Model(tokens, x, name=name)


def test_transplant_joins_query_key_and_value_into_a_fused_layer() -> None:
    import keras
    from keras import ops

    source = attention_model()
    trained_like(source, seed=0)
    tokens = keras.Input((3, 8))
    x = keras.layers.LayerNormalization(name="norm")(tokens)
    x = keras.layers.Dense(24, name="qkv")(x)
    # [batch, tokens, 3 * heads * 4] -> [batch, 3, heads, tokens, 4]
    x = ops.transpose(ops.reshape(x, (-1, 3, 3, 2, 4)), (0, 2, 3, 1, 4))
    scores = ops.softmax(ops.matmul(x[:, 0] / 2, ops.transpose(x[:, 1], (0, 1, 3, 2))))
    x = ops.transpose(ops.matmul(scores, x[:, 2]), (0, 2, 1, 3))
    x = keras.layers.Dense(8, name="project")(ops.reshape(x, (-1, 3, 8)))
    fused = keras.Model(tokens, x, name="fused")
    transplant(source, fused)
    inputs = np.random.default_rng(0).normal(size=(5, 3, 8)).astype(np.float32)
    np.testing.assert_allclose(fused(inputs), source(inputs), rtol=1e-5, atol=1e-6)


def dense_model(*units: int) -> keras.Model:
    import keras

    model = keras.Sequential([keras.Input((8,)), *(keras.layers.Dense(count) for count in units)])
    model.name = "target"
    return model


def test_transplant_names_both_weights_where_the_shapes_differ_and_copies_nothing() -> None:
    source, target = dense_model(6, 4), dense_model(6, 5)
    before = [weight.numpy() for weight in target.weights]
    with pytest.raises(
        AssertionError, match=r"/dense\w*/kernel \(6, 4\) does not fit \S+/dense\w*/kernel \(6, 5\)"
    ):
        transplant(source, target)
    for weight, value in zip(target.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_transplant_refuses_a_kernel_that_has_only_the_number_of_values_in_common() -> None:
    import keras

    wide = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, use_bias=False)])
    tall = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, use_bias=False)])
    with pytest.raises(AssertionError, match="shapes differ"):
        transplant(wide, tall)


def test_transplant_refuses_weights_left_over_on_either_side() -> None:
    with pytest.raises(AssertionError, match=r"kernel \(4, 2\) and 1 more have no place in target"):
        transplant(dense_model(4, 2), dense_model(4))
    with pytest.raises(AssertionError, match=r"nothing is left for \S+/dense\w*/kernel \(4, 2\)"):
        transplant(dense_model(4), dense_model(4, 2))


def test_transplant_refuses_to_put_a_gamma_into_a_beta() -> None:
    import keras

    scaled = keras.Sequential([keras.Input((8,)), keras.layers.LayerNormalization(center=False)])
    shifted = keras.Sequential([keras.Input((8,)), keras.layers.LayerNormalization(scale=False)])
    with pytest.raises(AssertionError, match="not the same part"):
        transplant(scaled, shifted)
