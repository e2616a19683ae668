"""The network that a training begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vitconv.data.datasets import Split
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.pictures.pixels import Pixels
from vitconv.models.catalogue import ModelEntry, Recipe
from vitconv.training.first_weights import FirstWeights
from vitconv.training.steps.batch_parts import cut_batches

if TYPE_CHECKING:
    import keras


def new_model(
    entry: ModelEntry,
    spec: ImageSpec,
    classes: int,
    training: Split,
    pixels: Pixels,
    recipe: Recipe,
    seed: int,
    init: FirstWeights | None,
    parts: int = 1,
) -> keras.Model:
    """The network with weights that depend on `seed` and `init` alone, compiled, with all its variables made. It
    computes a batch in so many `parts`. `pixels` are the training images'."""
    import keras

    from vitconv.training.steps.optimization import compile_model, prepare, widen_branches

    keras.utils.set_random_seed(seed)
    model = entry.build(spec, classes)
    if init is not None:
        init.put_into(model)
    else:
        widen_branches(model, recipe.branch_gain)
    _adapt(model, pixels)
    prepare(model, recipe, seed)
    compile_model(model, recipe, recipe.steps_an_epoch(len(training)))
    if parts > 1:
        cut_batches(model, parts)
    return model


def _adapt(model: keras.Model, pixels: Pixels) -> None:
    """Gives a Normalization layer, where the model has one, the training images' mean and variance."""
    for layer in model.layers:
        if layer.name == "normalise":
            layer.adapt_mean.assign(pixels.mean)
            layer.adapt_variance.assign(np.square(pixels.std))
            layer.finalize_state()
