"""Layers that write tokens of which nobody needs the mean.

In the paper's MobileViT blocks linear layers alone write the tokens, and layer normalisations alone read them,
which take each token's mean away first. So the writers may leave it out: where each column of a kernel is less the
mean of all columns, what it writes has the mean 0 over its channels, and so has any sum of such tokens. Then no
normalisation has to centre them (the form `tokens` "centred"), which saves it two of seven passes.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from vitconv.models.forms import current_form
from vitconv.models.layers.transformer_layer import constants, product


def writes_centred(training: bool) -> bool:
    """Whether layers of a token stream write, and expect, tokens with the mean 0."""
    return not training and current_form().tokens == "centred"


def centred(*weights: Any) -> tuple[np.ndarray, ...]:
    """Kernels [..., C] and biases [C] less their mean over C, as constants."""
    return tuple(value - value.mean(axis=-1, keepdims=True) for value in constants(lambda: weights))


@keras.saving.register_keras_serializable("vitconv")
class TokenConv(keras.layers.Conv2D):
    """keras.layers.Conv2D without bias or activation, into a token stream: float [B, H, W, D] → [B, H', W', C]."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not writes_centred(training):
            return super().call(inputs)
        (kernel,) = centred(self.kernel)
        return self.convolution_op(inputs, kernel)


@keras.saving.register_keras_serializable("vitconv")
class TokenDense(keras.layers.Dense):
    """keras.layers.Dense without activation, into a token stream: float [..., D] → [..., C]."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not writes_centred(training):
            return super().call(inputs)
        kernel, bias = centred(self.kernel, self.bias)
        return product(inputs, kernel) + bias
