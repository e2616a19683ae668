"""Networks of `vitconv.models` beside their reference formulation, with the same trained-like weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from reference.weights import trained_like, transplant
from shared import made_once
from vitconv.data.pictures.images import ImageSpec
from vitconv.models import catalogue

if TYPE_CHECKING:
    import keras

PROBABILITY_TOLERANCE = 1e-5
# Right networks differ by up to 6e-6 in a log-probability, for the order of adding up; the mildest mutant (another
# epsilon in the paper's XS) by 3e-4.
LOG_TOLERANCE = 5e-5


def build_reference(name: str, size: int, classes: int) -> keras.Model:
    """The reference formulation of a model of the catalogue."""
    from reference import eanet_article, mobilevit_article, mobilevit_paper, mobilevitv2_paper, repvit_paper

    builders: dict[str, Callable[[], Any]] = {
        "mobilevit_xxs": partial(mobilevit_article.build, classes, size),
        "mobilevit_paper_xxs": partial(mobilevit_paper.build, "xxs", classes, size),
        "mobilevit_paper_xs": partial(mobilevit_paper.build, "xs", classes, size),
        "mobilevit_paper_s": partial(mobilevit_paper.build, "s", classes, size),
        "mobilevitv2_050": partial(mobilevitv2_paper.build, classes, size),
        "repvit_m0_9": partial(repvit_paper.build, classes, size),
        "eanet": partial(eanet_article.build, classes),
        "eanet_self_attention": partial(eanet_article.build, classes, "self_attention"),
    }
    return builders[name]()


@cache
def pair(name: str, size: int, classes: int) -> tuple[keras.Model, keras.Model]:
    """(ours, reference) with the same trained-like weights. The same two each time: put back what you change."""
    reference = build_reference(name, size, classes)
    _put(reference, _weights(name, size, classes)[0])
    return ours(name, size, classes), reference


@cache
def ours(name: str, size: int, classes: int) -> keras.Model:
    """The first of a `pair`."""
    model = catalogue.find(name).build(ImageSpec(size, size), classes)
    _put(model, _weights(name, size, classes)[1])
    return model


def _put(model: keras.Model, weights: list[np.ndarray]) -> None:
    import keras

    model.set_weights(weights)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # computes with copies of its weights


@made_once
def _weights(name: str, size: int, classes: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Trained-like weights of the reference, and the same for our network."""
    reference = build_reference(name, size, classes)
    trained_like(reference, seed=0)
    model = catalogue.find(name).build(ImageSpec(size, size), classes)
    transplant(reference, model)
    return reference.get_weights(), model.get_weights()


def differences(ours: keras.Model, expected: np.ndarray, images: np.ndarray) -> tuple[float, float]:
    """The largest difference of any probability, and of any log-probability."""
    actual = ours(images, training=False).numpy().astype(np.float64)
    logs = np.abs(np.log(actual + 1e-12) - np.log(expected.astype(np.float64) + 1e-12))
    return float(np.abs(actual - expected).max()), float(logs.max())


def assert_same(ours: keras.Model, expected: np.ndarray, images: np.ndarray) -> None:
    """Fails where `ours` doesn't answer as the reference's probabilities `expected` do."""
    probability, log = differences(ours, expected, images)
    assert probability < PROBABILITY_TOLERANCE, f"probabilities differ by {probability}"
    assert log < LOG_TOLERANCE, f"log-probabilities differ by {log}"


def assert_mutant_is_noticed(
    network: tuple[keras.Model, list[np.ndarray], np.ndarray, np.ndarray],
    mutate: Callable[[keras.Model, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
    attributes: tuple[str, ...],
) -> None:
    """That the mutated model no longer equals its reference. Its weights and `attributes` are put back."""
    model, weights, images, expected = network
    before = [(layer, name, getattr(layer, name)) for layer in model.layers for name in attributes
              if hasattr(layer, name)]  # fmt: skip
    assert_same(model, expected, images)
    mutate(model, monkeypatch)
    try:
        with pytest.raises(AssertionError, match="differ by"):
            assert_same(model, expected, images)
    finally:
        model.set_weights(weights)
        for layer, name, value in before:
            setattr(layer, name, value)
