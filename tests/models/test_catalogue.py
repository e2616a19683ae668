"""The models by name: their sizes, their parameters, and the articles' recipes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from built import built
from vitconv.data.pictures.images import LARGEST_SIDE, ImageSpec
from vitconv.foundation.errors import InputError, UnknownNameError
from vitconv.models.catalogue import CATALOGUE, Recipe, find

pytestmark = pytest.mark.filterwarnings(
    # Raised inside TensorFlow and Keras while they are imported.
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)

every_model = pytest.mark.parametrize("name", list(CATALOGUE))

# Trainable parameters at the model's own image size, with so many classes. The MobileViTs' are the article's and
# the paper's; EANet's follow from its layers.
PARAMETERS = {
    "mobilevit_xxs": (5, 1_305_077),
    "mobilevit_paper_xxs": (1000, 1_272_024),
    "mobilevit_paper_xs": (1000, 2_317_848),
    "mobilevit_paper_s": (1000, 5_578_632),
    "mobilevitv2_050": (1000, 1_370_593),
    "repvit_m0_9": (1000, 5_489_328),
    "eanet": (100, 361_380),
    "eanet_self_attention": (100, 623_268),
}


@every_model
def test_every_model_has_its_parameters_at_its_own_size_and_another(name: str) -> None:
    entry = find(name)
    classes, parameters = PARAMETERS[name]
    for size in (None, 64):
        spec, model = entry.spec(size), built(name, size, classes)
        assert model.name == name
        assert model.input_shape == spec.shape
        assert model.output_shape == (classes,)
        # Only EANet knows places: a vector of 64 for each 2×2 patch.
        more = (spec.height**2 - entry.image.height**2) // 4 * 64 if name.startswith("eanet") else 0
        assert model.trainable == parameters + more


@pytest.mark.parametrize("name", ["mobilevit_xxs", "eanet"])
def test_raw_pixels_go_in_and_probabilities_come_out(name: str) -> None:
    entry = find(name)
    spec = entry.spec(entry.sizes_divide_by)
    pixels = np.random.default_rng(0).integers(0, 256, (3, *spec.shape)).astype(np.float32)
    out = np.asarray(entry.build(spec, 7)(pixels))
    assert out.shape == (3, 7)
    assert (out >= 0).all()
    np.testing.assert_allclose(out.sum(axis=1), 1, atol=1e-5)


@every_model
def test_an_image_size_that_does_not_fit_the_network_is_refused(name: str) -> None:
    entry = find(name)
    step = entry.sizes_divide_by
    assert entry.spec() == entry.image
    assert entry.spec(3 * step).shape == (3 * step, 3 * step, 3)
    assert entry.spec(3 * step).resize == entry.image.resize
    for size in (step + 1, 2 * step - 1, 1):
        with pytest.raises(InputError, match=rf"{name} takes .* multiples of {step}, not {size}×{size}"):
            entry.spec(size)
    for size in (0, -step, LARGEST_SIDE + step):
        with pytest.raises(InputError, match=rf"1 to {LARGEST_SIDE} pixels, not {size}×{size}"):
            entry.spec(size)
    with pytest.raises(InputError, match=rf"not {step}×{step + 1}"):
        entry.check(ImageSpec(step, step + 1))


def test_one_class_is_nothing_to_classify() -> None:
    entry = find("eanet")
    with pytest.raises(InputError, match="at least 2 classes, not 1"):
        entry.build(entry.image, 1)


def test_an_unknown_name_lists_all_and_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        find("mobilevit-xxs")
    assert str(caught.value).startswith(
        "unknown model 'mobilevit-xxs'. Did you mean 'mobilevit_xxs'? Known: eanet, "
    )
    assert caught.value.known == sorted(CATALOGUE)
    with pytest.raises(UnknownNameError, match=r"unknown model 'vgg'\. Known"):
        find("vgg")


def test_mobilevit_s_recipe_is_its_article_s() -> None:
    recipe = find("mobilevit_xxs").recipe
    assert (recipe.optimizer, recipe.learning_rate, recipe.weight_decay) == ("adam", 0.002, 0)
    assert (recipe.batch_size, recipe.epochs, recipe.label_smoothing) == (64, 30, 0.1)
    # Pictures are resized to 280×280; 256×256 of them are cut out at random, and half are mirrored.
    assert round(256 * recipe.crop_margin) == 280
    assert recipe.flip
    assert (recipe.rotation, recipe.zoom, recipe.contrast) == (0, 0, 0)
    for size in ("xxs", "xs", "s"):
        assert find(f"mobilevit_paper_{size}").recipe == recipe


def test_eanet_s_recipe_is_its_article_s() -> None:
    recipe = find("eanet").recipe
    assert (recipe.optimizer, recipe.learning_rate, recipe.weight_decay) == ("adamw", 0.001, 0.0001)
    assert (recipe.batch_size, recipe.epochs, recipe.label_smoothing) == (128, 50, 0.1)
    assert (recipe.flip, recipe.rotation, recipe.contrast, recipe.zoom) == (True, 0.1, 0.1, 0.2)
    assert recipe.crop_margin == 1
    assert find("eanet_self_attention").recipe == recipe


def test_repvit_s_recipe_is_its_article_s_for_a_smaller_batch() -> None:
    recipe = find("repvit_m0_9").recipe
    assert (recipe.optimizer, recipe.weight_decay, recipe.label_smoothing) == ("adamw", 0.025, 0.1)
    assert (recipe.epochs, recipe.schedule, recipe.warmup_epochs) == (300, "cosine", 5)
    assert recipe.learning_rate == 0.001 * recipe.batch_size / 512


def test_a_recipe_is_changed_only_where_a_value_is_given() -> None:
    recipe = find("eanet").recipe
    assert recipe.changed(epochs=None, batch_size=None) == recipe
    changed = recipe.changed(epochs=3, flip=False)
    assert changed.to_json() == {**recipe.to_json(), "epochs": 3, "flip": False}
    with pytest.raises(FrozenInstanceError):
        recipe.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", ["epochs", "batch_size", "learning_rate"])
def test_a_recipe_without_training_is_refused(name: str) -> None:
    for value in (0, -1):
        with pytest.raises(InputError, match=rf"{name.replace('_', ' ')} must be above 0, not {value}"):
            find("eanet").recipe.changed(**{name: value})


def test_a_recipe_s_json_makes_it_again() -> None:
    for entry in CATALOGUE.values():
        assert Recipe(**entry.recipe.to_json()) == entry.recipe


def test_the_catalogue_can_be_read_without_tensorflow() -> None:
    code = "import sys, vitconv.models.catalogue; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
