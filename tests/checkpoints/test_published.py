"""Weights that Keras saved of the two published examples, in our networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference import eanet_article, mobilevit_article
from reference.weights import pictures, trained_like
from vitconv.checkpoints import published
from vitconv.classifiers.opening import open_model
from vitconv.classifiers.published import build
from vitconv.classifiers.told import Pixels, Told
from vitconv.conversion import schemes
from vitconv.foundation.errors import CheckpointError, InputError
from vitconv.tflite.layer_names import operations
from vitconv.training.first_weights import FirstWeights

CLASSES = 7
LABELS = tuple("abcdefg")

# Keras's own, when it saves with this NumPy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

NETWORKS: dict[str, Any] = {
    "mobilevit_xxs": lambda: mobilevit_article.build(CLASSES, 64),
    "eanet": lambda: eanet_article.build_as_published(CLASSES),
    "eanet_self_attention": lambda: eanet_article.build(CLASSES, "self_attention"),
}


def article(name: str) -> Any:
    model = NETWORKS[name]()
    trained_like(model, 3)
    return model


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
@pytest.mark.parametrize("name", NETWORKS)
def test_our_network_with_their_weights_answers_as_theirs(name: str, suffix: str, tmp_path: Path) -> None:
    model = article(name)
    path = tmp_path / f"mine{suffix}"
    (model.save if suffix == ".keras" else model.save_weights)(path)
    found = published.read(path)
    assert (found.network, found.classes) == (name, CLASSES)
    network, image = build(found, (64, 64) if name == "mobilevit_xxs" else None)
    assert image.shape == model.input_shape[1:]
    shown = pictures(4, image.height, 5)
    expected = np.asarray(model(shown, training=False))
    np.testing.assert_allclose(np.asarray(network(shown, training=False)), expected, atol=1e-5)


def test_weights_alone_are_exported_as_our_network(tmp_path: Path) -> None:
    model = article("mobilevit_xxs")
    path = tmp_path / "mine.weights.h5"
    model.save_weights(path)
    opened = open_model(path, Told(labels=LABELS, image_size=(64, 64)))
    images = np.rint(pictures(2, 64, 5)).astype(np.uint8)
    expected = np.asarray(model(images.astype(np.float32), training=False))
    np.testing.assert_allclose(opened.predict(images), expected, atol=1e-5)
    assert opened.rules == ()
    graph = opened.float_graphs([schemes.find("float32")])["float32"]
    assert "stage2.mobilevit.transformer0.attention" in {one.layer for one in operations(graph)}
    with pytest.raises(InputError, match="Leave --pixels and --code out"):
        open_model(path, Told(Pixels.parse("0..1"), LABELS, (64, 64)))
    with pytest.raises(InputError, match="7 outputs, and there are 2 labels"):
        open_model(path, Told(labels=("a", "b"), image_size=(64, 64)))


def test_a_training_begins_with_them_and_another_network_s_does_not(tmp_path: Path) -> None:
    path = tmp_path / "mine.weights.h5"
    article("eanet").save_weights(path)
    first = FirstWeights.open(path, "eanet")
    assert first.note["file"] == "mine.weights.h5"
    network, _ = build(published.read(path), None)
    kept = [np.array(weight) for weight in network.weights]
    for weight in network.weights:
        weight.assign(np.zeros(weight.shape, weight.dtype))
    first.put_into(network)
    for one, other in zip(network.weights, kept, strict=True):
        np.testing.assert_array_equal(np.asarray(one), other)
    with pytest.raises(CheckpointError, match="of the structure of eanet, and mobilevit_xxs is another network"):
        FirstWeights.open(path, "mobilevit_xxs")


def test_weights_of_another_network_or_of_none_are_refused(tmp_path: Path) -> None:
    import keras

    path = tmp_path / "mine.weights.h5"
    image = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    keras.Model(image, keras.layers.Dense(2)(x)).save_weights(path)
    with pytest.raises(CheckpointError, match="of neither published example, MobileViT or EANet: it has 1 conv2d"):
        published.read(path)
    path.write_bytes(b"not HDF5 at all")
    with pytest.raises(CheckpointError, match=r"cannot read .* as weights that Keras saved"):
        published.read(path)
    with pytest.raises(CheckpointError, match="there is no file"):
        published.read(tmp_path / "none.weights.h5")
    mobilevit_article.build(CLASSES, 64, expansion=4).save_weights(path)
    wide = published.read(path)
    with pytest.raises(CheckpointError, match="do not fit"):
        build(wide, (64, 64))
