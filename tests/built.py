"""What the catalogue's networks are made of. Keras takes seconds to build one, so each is built once for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shared import made_once
from vitconv.models import catalogue


@dataclass(frozen=True)
class Built:
    """A network with random weights, in figures. Shapes are without the batch."""

    name: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int
    trainable: int
    batch_norm: bool


@made_once
def built(name: str, size: int | None, classes: int) -> Built:
    """`size` None is the network's own image size."""
    import keras

    entry = catalogue.find(name)
    model = entry.build(entry.spec(size), classes)
    return Built(
        model.name,
        model.input_shape[1:],
        model.output_shape[1:],
        model.count_params(),
        sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        any(isinstance(layer, keras.layers.BatchNormalization) for layer in model._flatten_layers()),
    )
