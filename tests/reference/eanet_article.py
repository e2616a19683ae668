"""EANet for CIFAR-100 as the Keras code example "EANet" (ZhiYong Chang, keras.io) has it.

Two networks: with external attention (two small learned memories shared by all images), and with ordinary
self-attention in its place, which the example compares it with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import layers, ops

Attention = Literal["external_attention", "self_attention"]

IMAGE_SIZE = 32
PATCH = 2
TOKENS = (IMAGE_SIZE // PATCH) ** 2
DIM = 64
BLOCKS = 8
HEADS = 4
DIM_COEFFICIENT = 4
DROPOUT = 0.2


def build(
    num_classes: int = 100,
    attention: Attention = "external_attention",
    mean: Sequence[float] | None = None,
    variance: Sequence[float] | None = None,
) -> keras.Model:
    """RGB [batch, 32, 32, 3], 0–255 → class probabilities [batch, num_classes].

    `mean` and `variance` are of the training pixels, one a channel, on the 0–255 scale; given, they become
    constants of the model. Not given, they are weights with a count behind them, as in the example, which
    `model.get_layer("normalize").adapt(images)` or `weights.trained_like` sets; until then 0 and 1.
    """
    image = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3), name="image")
    pixels = layers.Normalization(mean=mean, variance=variance, name="normalize")(image)
    return keras.Model(image, _classify(pixels, num_classes, attention), name="eanet_article")


def build_as_published(
    num_classes: int = 100,
    attention: Attention = "external_attention",
    mean: Sequence[float] | None = None,
    variance: Sequence[float] | None = None,
) -> keras.Model:
    """`build` with the augmentation inside the model, behind the normalisation: the example's own graph.

    The same weights in the same order, and the same probabilities at inference. In training, Keras 3's
    RandomContrast clips to 0–255, which cuts normalised pixels off at their mean.
    """
    image = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3), name="image")
    pixels = layers.Normalization(mean=mean, variance=variance, name="normalize")(image)
    pixels = augmentation()(pixels)
    return keras.Model(image, _classify(pixels, num_classes, attention), name="eanet_as_published")


def augmentation() -> keras.Sequential:
    """The example's random changes of a training image; they do nothing at inference."""
    return keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.1),
            layers.RandomContrast(0.1),
            layers.RandomZoom(height_factor=0.2, width_factor=0.2),
        ],
        name="augmentation",
    )


class PositionEmbedding(layers.Layer):
    """Adds a learned vector to every token: [batch, tokens, dim] → the same shape."""

    def __init__(self, tokens: int, dim: int, **options: Any) -> None:
        super().__init__(**options)
        self.tokens = tokens
        self.dim = dim
        self.table = layers.Embedding(tokens, dim, name="table")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.table.build((self.tokens,))

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return x + self.table(ops.arange(self.tokens))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tokens": self.tokens, "dim": self.dim}


def _classify(pixels: keras.KerasTensor, num_classes: int, attention: Attention) -> keras.KerasTensor:
    # [batch, 32, 32, 3] -> [batch, 16, 16, 12] -> [batch, 256, 12]
    x = ops.image.extract_patches(pixels, size=(PATCH, PATCH), padding="valid")
    x = layers.Reshape((TOKENS, PATCH * PATCH * 3), name="tokens")(x)
    x = layers.Dense(DIM, name="embed")(x)
    x = PositionEmbedding(TOKENS, DIM, name="position")(x)
    for number in range(1, BLOCKS + 1):
        x = _encoder_block(x, attention, name=f"block{number}")
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return layers.Dense(num_classes, activation="softmax", name="head")(x)


def _encoder_block(x: keras.KerasTensor, attention: Attention, *, name: str) -> keras.KerasTensor:
    y = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm1")(x)
    if attention == "external_attention":
        y = _external_attention(y, name=f"{name}_attention")
    elif attention == "self_attention":
        y = layers.MultiHeadAttention(HEADS, key_dim=DIM, dropout=DROPOUT, name=f"{name}_attention")(y, y)
    else:
        raise ValueError(f"attention must be external_attention or self_attention, not {attention!r}.")
    x = layers.Add(name=f"{name}_add1")([y, x])
    y = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm2")(x)
    # ops.gelu is the tanh approximation unless told otherwise; the activation named "gelu" is the exact one.
    y = layers.Dense(DIM, activation=ops.gelu, name=f"{name}_mlp1")(y)
    y = layers.Dropout(DROPOUT, name=f"{name}_dropout1")(y)
    y = layers.Dense(DIM, name=f"{name}_mlp2")(y)
    y = layers.Dropout(DROPOUT, name=f"{name}_dropout2")(y)
    return layers.Add(name=f"{name}_add2")([y, x])


def _external_attention(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    heads = HEADS * DIM_COEFFICIENT
    width = DIM * DIM_COEFFICIENT
    units = DIM // DIM_COEFFICIENT
    y = layers.Dense(width, name=f"{name}_widen")(x)
    # [batch, tokens, 256] -> [batch, 16 heads, tokens, 16]
    y = layers.Reshape((TOKENS, heads, width // heads), name=f"{name}_split")(y)
    y = layers.Permute((2, 1, 3), name=f"{name}_heads_first")(y)
    # Both memories are shared by all heads. -> [batch, heads, tokens, units]
    scores = layers.Dense(units, name=f"{name}_memory_key")(y)
    scores = layers.Softmax(axis=2, name=f"{name}_over_tokens")(scores)
    scores = scores / (1e-9 + ops.sum(scores, axis=-1, keepdims=True))
    scores = layers.Dropout(DROPOUT, name=f"{name}_dropout")(scores)
    # [batch, heads, tokens, units] -> [batch, heads, tokens, 16] -> [batch, tokens, 256]
    y = layers.Dense(width // heads, name=f"{name}_memory_value")(scores)
    y = layers.Permute((2, 1, 3), name=f"{name}_tokens_first")(y)
    y = layers.Reshape((TOKENS, width), name=f"{name}_join")(y)
    y = layers.Dense(DIM, name=f"{name}_project")(y)
    return layers.Dropout(DROPOUT, name=f"{name}_project_dropout")(y)
