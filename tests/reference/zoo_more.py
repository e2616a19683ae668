"""More small classifiers in the structure of published networks; see zoo.py. A file of this module is what
`--code` is given, too, so it stands alone."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

CLASSES = 10
SIZE = 32


def _mlp(x: Any, hidden: int, width: int) -> Any:
    return layers.Dense(width)(layers.Dense(hidden, activation="gelu")(x))


def bit(width: int = 32) -> keras.Model:
    """Kolesnikov et al., 2020, "Big Transfer": residual blocks that begin with group normalisation."""
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(width, 3, 2, padding="same")(image)
    for filters, stride in ((width, 1), (2 * width, 2), (2 * width, 1)):
        y = layers.Activation("relu")(layers.GroupNormalization(8, epsilon=1e-5)(x))
        shortcut = x
        if stride > 1:
            shortcut = layers.Conv2D(filters, 1, stride, use_bias=False)(y)
        y = layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(y)
        y = layers.Activation("relu")(layers.GroupNormalization(8, epsilon=1e-5)(y))
        x = layers.Add()([shortcut, layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)])
    x = layers.Activation("relu")(layers.GroupNormalization(8, epsilon=1e-5)(x))
    return keras.Model(image, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x)), name="bit")


class Places(layers.Layer):
    """A learned vector for every token, added to it."""

    def build(self, shape: Any) -> None:
        self.table = self.add_weight(shape=(1, *shape[1:]), initializer="random_normal", name="table")

    def call(self, x: Any) -> Any:
        return x + self.table


def igpt(width: int = 48, depth: int = 2) -> keras.Model:
    """Chen et al., 2020, "Generative pretraining from pixels": a token sees those before it alone."""
    image = keras.Input((SIZE, SIZE, 3))
    x = Places()(layers.Reshape((-1, width))(layers.Conv2D(width, 4, 4)(image)))
    for number in range(depth):
        y = layers.LayerNormalization(epsilon=1e-5)(x)
        # With dropout Keras adds the mask to the scores, without it selects between them and a large number.
        attention = layers.MultiHeadAttention(4, width // 4, dropout=0.1 * number)
        x = layers.Add()([x, attention(y, y, use_causal_mask=True)])
        x = layers.Add()([x, _mlp(layers.LayerNormalization(epsilon=1e-5)(x), 2 * width, width)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-5)(x))
    return keras.Model(image, layers.Dense(CLASSES)(x), name="igpt")


class Latents(layers.Layer):
    """A learned array of a few tokens, the same for every picture."""

    def __init__(self, tokens: int, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.tokens, self.width = tokens, width

    def build(self, shape: Any) -> None:
        self.table = self.add_weight(shape=(self.tokens, self.width), initializer="random_normal", name="table")

    def call(self, x: Any) -> Any:
        return ops.broadcast_to(self.table[np.newaxis], (ops.shape(x)[0], self.tokens, self.width))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tokens": self.tokens, "width": self.width}


def perceiver(width: int = 48, latents: int = 16, depth: int = 2) -> keras.Model:
    """Jaegle et al., 2021: a few latent tokens ask many of the picture, then each other, with shared weights."""
    image = keras.Input((SIZE, SIZE, 3))
    data = Places()(layers.Reshape((-1, width))(layers.Conv2D(width, 2, 2)(image)))  # [N, 256, C]
    data = layers.LayerNormalization(epsilon=1e-6)(data)
    x = Latents(latents, width)(data)
    crossing, norm = layers.MultiHeadAttention(1, width), layers.LayerNormalization(epsilon=1e-6)
    for _ in range(depth):
        x = layers.Add()([x, crossing(norm(x), data)])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, width // 4)(y, y)])
        x = layers.Add()([x, _mlp(layers.LayerNormalization(epsilon=1e-6)(x), 2 * width, width)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(image, layers.Dense(CLASSES)(x), name="perceiver")


class LearntTokens(layers.Layer):
    """Ryoo et al., 2021, "TokenLearner": maps of attention over a picture, each of which gives one token."""

    def __init__(self, tokens: int, **options: Any) -> None:
        super().__init__(**options)
        self.tokens = tokens

    def build(self, shape: Any) -> None:
        self.norm = layers.LayerNormalization(epsilon=1e-6)
        self.first = layers.Conv2D(self.tokens, 3, padding="same", activation="gelu", use_bias=False)
        self.second = layers.Conv2D(self.tokens, 3, padding="same", activation="sigmoid", use_bias=False)
        self.norm.build(shape)
        self.first.build(shape)
        self.second.build((*shape[:-1], self.tokens))

    def call(self, x: Any) -> Any:
        _, height, width, channels = x.shape
        maps = self.second(self.first(self.norm(x)))
        maps = ops.transpose(ops.reshape(maps, (-1, height * width, self.tokens)), (0, 2, 1))[..., np.newaxis]
        flat = ops.reshape(x, (-1, 1, height * width, channels))
        return ops.mean(maps * flat, axis=2)  # [N, tokens, C]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tokens": self.tokens}


def tokenlearner(width: int = 128, tokens: int = 8) -> keras.Model:
    """A vision transformer whose second half sees eight tokens."""
    image = keras.Input((SIZE, SIZE, 3))
    x = Places()(layers.Reshape((-1, width))(layers.Conv2D(width, 4, 4)(image)))
    for block in range(2):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, width // 4)(y, y)])
        x = layers.Add()([x, _mlp(layers.LayerNormalization(epsilon=1e-6)(x), 2 * width, width)])
        if block == 0:
            x = LearntTokens(tokens)(layers.Reshape((SIZE // 4, SIZE // 4, width))(x))
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(image, layers.Dense(CLASSES)(x), name="tokenlearner")


class Involution(layers.Layer):
    """Li et al., 2021: a pixel's own values say by which weights its neighbours are added up."""

    SIDE, GROUPS = 3, 2

    def build(self, shape: Any) -> None:
        channels = shape[-1]
        self.narrow = layers.Conv2D(channels // 2, 1)
        self.norm = layers.BatchNormalization()
        self.weigh = layers.Conv2D(self.SIDE**2 * self.GROUPS, 1)
        self.narrow.build(shape)
        self.norm.build((*shape[:-1], channels // 2))
        self.weigh.build((*shape[:-1], channels // 2))

    def call(self, x: Any, training: bool = False) -> Any:
        _, height, width, channels = x.shape
        weights = self.weigh(ops.relu(self.norm(self.narrow(x), training=training)))
        weights = ops.reshape(weights, (-1, height, width, self.SIDE**2, 1, self.GROUPS))
        around = ops.image.extract_patches(x, self.SIDE, strides=1, padding="same")
        around = ops.reshape(around, (-1, height, width, self.SIDE**2, channels // self.GROUPS, self.GROUPS))
        return ops.reshape(ops.sum(weights * around, axis=3), (-1, height, width, channels))


def involution(width: int = 24) -> keras.Model:
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(width, 3, 2, padding="same", activation="relu")(image)
    for _ in range(2):
        x = layers.Activation("relu")(layers.BatchNormalization()(Involution()(x)))
        x = layers.MaxPooling2D()(layers.Conv2D(width, 1)(x))
    x = layers.Dense(64, activation="relu")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(CLASSES)(x), name="involution")


ZOO = {
    "bit": bit, "igpt": igpt, "perceiver": perceiver, "tokenlearner": tokenlearner, "involution": involution,
}  # fmt: skip
