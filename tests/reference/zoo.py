"""Small classifiers of pictures in the structure of published networks, written with Keras as its users write
them.

Logits or probabilities, layers of Keras's and layers of their own, pixels from 0 to 1 but where a network scales
them itself. Nothing here knows of a converter. A file of this module is what `--code` is given in tests.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

CLASSES = 10
SIZE = 32


def _mlp(x: Any, hidden: int, width: int, activation: str = "gelu") -> Any:
    return layers.Dense(width)(layers.Dropout(0.1)(layers.Dense(hidden, activation=activation)(x)))


def _patches(image: Any, patch: int) -> Any:
    """[N, 32, 32, 3] -> [N, (32 / patch)², patch² · 3]"""
    tokens = (SIZE // patch) ** 2
    cut = ops.image.extract_patches(image, size=(patch, patch))
    return layers.Reshape((tokens, patch * patch * 3))(cut)


class Positions(layers.Layer):
    """Adds a learned vector to every token."""

    def build(self, shape: Any) -> None:
        self.table = self.add_weight(shape=(1, *shape[1:]), initializer="random_normal", name="table")

    def call(self, x: Any) -> Any:
        return x + self.table


def vit(width: int = 48, depth: int = 2, heads: int = 4) -> keras.Model:
    """Dosovitskiy et al., 2020, as Keras's example has it: patches, encoder blocks, flattened, an MLP head."""
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Dense(width)(_patches(image, 8))
    x = x + layers.Embedding(x.shape[1], width)(ops.arange(x.shape[1]))
    for _ in range(depth):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([layers.MultiHeadAttention(heads, width, dropout=0.1)(y, y), x])
        x = layers.Add()([_mlp(layers.LayerNormalization(epsilon=1e-6)(x), 2 * width, width), x])
    x = layers.Flatten()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(image, layers.Dense(CLASSES)(_mlp(x, 64, 64)), name="vit")


def cct(width: int = 48, depth: int = 2) -> keras.Model:
    """Hassani et al., 2021, "compact convolutional transformer": a convolutional tokenizer, sequence pooling."""
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 255)(image)
    x = layers.RandomFlip("horizontal")(x)
    for filters in (24, width):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, activation="relu")(x)
        x = layers.MaxPooling2D(3, 2, padding="same")(x)
    x = Positions()(layers.Reshape((-1, width))(x))
    for _ in range(depth):
        y = layers.LayerNormalization(epsilon=1e-5)(x)
        x = layers.Add()([layers.MultiHeadAttention(2, width // 2)(y, y), x])
        x = layers.Add()([_mlp(layers.LayerNormalization(epsilon=1e-5)(x), width, width), x])
    x = layers.LayerNormalization(epsilon=1e-5)(x)
    weights = ops.transpose(ops.softmax(layers.Dense(1)(x), axis=1), (0, 2, 1))
    pooled = layers.Flatten()(ops.matmul(weights, x))
    return keras.Model(image, layers.Dense(CLASSES)(pooled), name="cct")


class Mixing(layers.Layer):
    """A block of the MLP-Mixer: over the tokens, then over the channels."""

    def __init__(self, hidden: int, **options: Any) -> None:
        super().__init__(**options)
        self.hidden = hidden

    def build(self, shape: Any) -> None:
        self.before, self.between = layers.LayerNormalization(), layers.LayerNormalization()
        self.tokens = keras.Sequential([layers.Dense(self.hidden, activation="gelu"), layers.Dense(shape[1])])
        self.channels = keras.Sequential([layers.Dense(self.hidden, activation="gelu"), layers.Dense(shape[2])])
        self.before.build(shape)
        self.between.build(shape)
        self.tokens.build((shape[0], shape[2], shape[1]))
        self.channels.build(shape)

    def call(self, x: Any) -> Any:
        mixed = ops.transpose(self.tokens(ops.transpose(self.before(x), (0, 2, 1))), (0, 2, 1))
        x = x + mixed
        return x + self.channels(self.between(x))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hidden": self.hidden}


def mixer(width: int = 48, depth: int = 2) -> keras.Model:
    """Tolstikhin et al., 2021."""
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Dense(width)(_patches(image, 4))
    for _ in range(depth):
        x = Mixing(width)(x)
    return keras.Model(image, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(x)), name="mixer")


class Fourier(layers.Layer):
    """A block of FNet (Lee-Thorp et al., 2021): the real part of a Fourier transform mixes the tokens."""

    def build(self, shape: Any) -> None:
        self.before, self.between = (
            layers.LayerNormalization(epsilon=1e-6),
            layers.LayerNormalization(epsilon=1e-6),
        )
        self.first, self.second = layers.Dense(2 * shape[-1], activation="gelu"), layers.Dense(shape[-1])
        self.before.build(shape)
        self.between.build(shape)
        self.first.build(shape)
        self.second.build((*shape[:-1], 2 * shape[-1]))

    def call(self, x: Any) -> Any:
        real, _ = ops.fft2((x, ops.zeros_like(x)))
        x = self.before(x + real)
        return self.between(x + self.second(self.first(x)))


def fnet(width: int = 48, depth: int = 2) -> keras.Model:
    image = keras.Input((SIZE, SIZE, 3))
    x = Positions()(layers.Dense(width)(_patches(image, 4)))
    for _ in range(depth):
        x = Fourier()(x)
    return keras.Model(image, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(x)), name="fnet")


class Windows(layers.Layer):
    """Attention inside 4 × 4 windows of a map, which may be shifted by half a window (Liu et al., 2021,
    "Swin")."""

    SIDE = 4

    def __init__(self, heads: int, shift: int, **options: Any) -> None:
        super().__init__(**options)
        self.heads, self.shift = heads, shift

    def build(self, shape: Any) -> None:
        _, height, width, channels = shape
        self.joined, self.out = layers.Dense(3 * channels), layers.Dense(channels)
        self.joined.build(shape)
        self.out.build(shape)
        side = self.SIDE
        self.bias = self.add_weight(
            shape=((2 * side - 1) ** 2, self.heads), initializer="random_normal", name="bias"
        )
        rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
        place = np.stack([rows.ravel(), columns.ravel()])  # [2, 16]
        apart = place[:, :, np.newaxis] - place[:, np.newaxis] + side - 1
        self.index = apart[0] * (2 * side - 1) + apart[1]  # [16, 16]
        region = np.zeros((height, width), np.int32)
        for part in (slice(-side, -self.shift), slice(-self.shift, None)) if self.shift else ():
            region[part] += 3
            region[:, part] += 1
            region[part] *= 2
        cut = region.reshape(height // side, side, width // side, side).swapaxes(1, 2).reshape(-1, side * side)
        self.mask = np.where(cut[:, :, np.newaxis] == cut[:, np.newaxis], 0.0, -100.0).astype(np.float32)

    def call(self, x: Any) -> Any:
        _, height, width, channels = x.shape
        side, heads = self.SIDE, self.heads
        if self.shift:
            x = ops.roll(x, (-self.shift, -self.shift), axis=(1, 2))
        x = ops.reshape(x, (-1, height // side, side, width // side, side, channels))
        x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, side * side, channels))
        joined = ops.reshape(self.joined(x), (-1, side * side, 3, heads, channels // heads))
        query, key, value = ops.unstack(ops.transpose(joined, (2, 0, 3, 1, 4)), axis=0)
        scores = ops.matmul(query * (channels // heads) ** -0.5, ops.transpose(key, (0, 1, 3, 2)))
        bias = ops.transpose(
            ops.reshape(ops.take(self.bias, self.index.ravel(), axis=0), (16, 16, heads)), (2, 0, 1)
        )
        scores = scores + ops.expand_dims(bias, 0)
        if self.shift:
            windows = self.mask.shape[0]
            scores = ops.reshape(scores, (-1, windows, heads, side * side, side * side))
            scores = scores + self.mask[np.newaxis, :, np.newaxis]
            scores = ops.reshape(scores, (-1, heads, side * side, side * side))
        mixed = ops.transpose(ops.matmul(ops.softmax(scores), value), (0, 2, 1, 3))
        mixed = self.out(ops.reshape(mixed, (-1, side * side, channels)))
        mixed = ops.reshape(mixed, (-1, height // side, width // side, side, side, channels))
        mixed = ops.reshape(ops.transpose(mixed, (0, 1, 3, 2, 4, 5)), (-1, height, width, channels))
        return ops.roll(mixed, (self.shift, self.shift), axis=(1, 2)) if self.shift else mixed

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads, "shift": self.shift}


class ImagePatches(layers.Layer):
    """By TensorFlow's own function, as Keras's Swin example has it."""

    def call(self, images: Any) -> Any:
        sizes = (1, 4, 4, 1)
        return tf.image.extract_patches(images, sizes=sizes, strides=sizes, rates=(1, 1, 1, 1), padding="VALID")


def swin(width: int = 48, heads: int = 4) -> keras.Model:
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Dense(width)(ImagePatches()(image))  # [N, 8, 8, C]
    for shift in (0, 2):
        x = x + Windows(heads, shift)(layers.LayerNormalization(epsilon=1e-5)(x))
        x = x + _mlp(layers.LayerNormalization(epsilon=1e-5)(x), 2 * width, width)
    x = layers.GlobalAveragePooling2D()(layers.LayerNormalization(epsilon=1e-5)(x))
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax")(x), name="swin")


def convmixer(width: int = 48, depth: int = 2) -> keras.Model:
    """Trockman and Kolter, 2022, inside a second model, as backbones are used."""
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(width, 2, 2)(image)
    x = layers.BatchNormalization()(layers.Activation("gelu")(x))
    for _ in range(depth):
        y = layers.BatchNormalization()(layers.Activation("gelu")(layers.DepthwiseConv2D(5, padding="same")(x)))
        x = layers.Add()([y, x])
        x = layers.BatchNormalization()(layers.Activation("gelu")(layers.Conv2D(width, 1)(x)))
    backbone = keras.Model(image, layers.GlobalAveragePooling2D()(x), name="backbone")
    outer = keras.Input((SIZE, SIZE, 3))
    return keras.Model(outer, layers.Dense(CLASSES, activation="softmax")(backbone(outer)), name="convmixer")


class RootMeanSquare(layers.Layer):
    """x / √(mean(x²) + ε) · scale (Zhang and Sennrich, 2019)."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x: Any) -> Any:
        return x * ops.rsqrt(ops.mean(x * x, axis=-1, keepdims=True) + 1e-6) * self.scale


class Gated(keras.Model):
    """A subclassed model: gMLP (Liu et al., 2021) with RMS normalisation, any picture size of one patch grid."""

    def __init__(self, width: int = 48, depth: int = 2, **options: Any) -> None:
        super().__init__(**options)
        self.width, self.depth = width, depth
        self.embed = layers.Conv2D(width, 4, 4)
        self.flat = layers.Reshape((-1, width))
        self.norms = [RootMeanSquare() for _ in range(2 * depth)]
        self.inward = [layers.Dense(2 * width, activation="gelu") for _ in range(depth)]
        self.spatial = [layers.Dense((SIZE // 4) ** 2, bias_initializer="ones") for _ in range(depth)]
        self.outward = [layers.Dense(width) for _ in range(depth)]
        self.pool, self.head = layers.GlobalAveragePooling1D(), layers.Dense(CLASSES)

    def call(self, images: Any) -> Any:
        x = self.flat(self.embed(images))
        for block in range(self.depth):
            first, second = ops.split(self.inward[block](self.norms[2 * block](x)), 2, axis=-1)
            turned = ops.transpose(self.norms[2 * block + 1](second), (0, 2, 1))
            gate = ops.transpose(self.spatial[block](turned), (0, 2, 1))
            x = x + self.outward[block](first * gate)
        return self.head(self.pool(x))

    def get_config(self) -> dict[str, Any]:
        return {"width": self.width, "depth": self.depth, "name": self.name}


def gmlp() -> keras.Model:
    model = Gated(name="gmlp")
    model(np.zeros((1, SIZE, SIZE, 3), np.float32))
    return model


ZOO = {"vit": vit, "cct": cct, "mixer": mixer, "fnet": fnet, "swin": swin, "convmixer": convmixer, "gmlp": gmlp}
RAW_PIXELS = ("cct",)  # scale them themselves
