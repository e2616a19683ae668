"""MobileViT-XXS as the Keras code example "MobileViT" (Sayak Paul, keras.io) has it.

It differs from the paper's network (`mobilevit_paper`) in this:
- the convolutions outside the inverted residuals have a bias and no batch normalisation;
- attention has 2 heads of the full width, and goes over every pixel of the feature map together, because
  `MultiHeadAttention` attends over all axes between the batch and the channels;
- the "patches" are a plain reshape of the pixels in reading order, four runs of a quarter of them;
- both dense layers of the transformer's MLP have a swish, and nothing normalises the last layer's output;
- the fusing convolution changes the width, so the residuals after it work on the transformer's width.
"""

from __future__ import annotations

import keras
from keras import layers

PATCH_AREA = 4
HEADS = 2
DROPOUT = 0.1


def build(num_classes: int = 5, image_size: int = 256, expansion: int = 2) -> keras.Model:
    """RGB [batch, image_size, image_size, 3], 0–255 → class probabilities [batch, num_classes].

    `expansion` is how many times wider an inverted residual is inside than at its input. `image_size` must be
    a multiple of 64, so that the smallest feature map can still be cut into four.
    """
    if image_size % 64:
        raise ValueError(f"image_size must be a multiple of 64, not {image_size}.")
    image = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    x = _convolution(x, 16, kernel=3, stride=2, name="stem")
    x = _inverted_residual(x, 16, expansion, stride=1, name="ir1")

    x = _inverted_residual(x, 24, expansion, stride=2, name="ir2")
    x = _inverted_residual(x, 24, expansion, stride=1, name="ir3")
    x = _inverted_residual(x, 24, expansion, stride=1, name="ir4")

    x = _inverted_residual(x, 48, expansion, stride=2, name="ir5")
    x = _mobilevit_block(x, 64, depth=2, name="vit1")
    x = _inverted_residual(x, 64, expansion, stride=2, name="ir6")
    x = _mobilevit_block(x, 80, depth=4, name="vit2")
    x = _inverted_residual(x, 80, expansion, stride=2, name="ir7")
    x = _mobilevit_block(x, 96, depth=3, name="vit3")

    x = _convolution(x, 320, kernel=1, stride=1, name="final")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    probabilities = layers.Dense(num_classes, activation="softmax", name="head")(x)
    return keras.Model(image, probabilities, name="mobilevit_article")


def _convolution(x: keras.KerasTensor, filters: int, *, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    return layers.Conv2D(filters, kernel, strides=stride, padding="same", activation="swish", name=name)(x)


def _inverted_residual(
    x: keras.KerasTensor, filters: int, expansion: int, *, stride: int, name: str
) -> keras.KerasTensor:
    width = x.shape[-1]
    y = layers.Conv2D(width * expansion, 1, use_bias=False, name=f"{name}_expand")(x)
    y = layers.BatchNormalization(name=f"{name}_expand_norm")(y)
    y = layers.Activation("swish", name=f"{name}_expand_swish")(y)
    if stride == 2:
        # An even map gets one row of zeros below and one column on the right, as "same" would give it.
        y = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(y)
    y = layers.DepthwiseConv2D(
        3,
        strides=stride,
        padding="valid" if stride == 2 else "same",
        use_bias=False,
        name=f"{name}_depthwise",
    )(y)
    y = layers.BatchNormalization(name=f"{name}_depthwise_norm")(y)
    y = layers.Activation("swish", name=f"{name}_depthwise_swish")(y)
    y = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project")(y)
    y = layers.BatchNormalization(name=f"{name}_project_norm")(y)
    if stride == 1 and width == filters:
        y = layers.Add(name=f"{name}_add")([y, x])
    return y


def _mobilevit_block(x: keras.KerasTensor, dim: int, *, depth: int, name: str) -> keras.KerasTensor:
    """[batch, H, W, C] → [batch, H, W, dim]"""
    _, height, width, channels = x.shape
    y = _convolution(x, dim, kernel=3, stride=1, name=f"{name}_local")
    y = _convolution(y, dim, kernel=1, stride=1, name=f"{name}_widen")
    # [batch, H, W, dim] -> [batch, 4, H*W/4, dim]
    y = layers.Reshape((PATCH_AREA, height * width // PATCH_AREA, dim), name=f"{name}_unfold")(y)
    for number in range(1, depth + 1):
        y = _transformer_layer(y, dim, name=f"{name}_layer{number}")
    # [batch, 4, H*W/4, dim] -> [batch, H, W, dim]
    y = layers.Reshape((height, width, dim), name=f"{name}_fold")(y)
    y = _convolution(y, channels, kernel=1, stride=1, name=f"{name}_narrow")
    y = layers.Concatenate(name=f"{name}_concatenate")([x, y])
    return _convolution(y, dim, kernel=3, stride=1, name=f"{name}_fuse")


def _transformer_layer(x: keras.KerasTensor, dim: int, *, name: str) -> keras.KerasTensor:
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
    y = layers.MultiHeadAttention(HEADS, key_dim=dim, dropout=DROPOUT, name=f"{name}_attention")(y, y)
    x = layers.Add(name=f"{name}_add1")([y, x])
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
    y = layers.Dense(dim * 2, activation="swish", name=f"{name}_mlp1")(y)
    y = layers.Dropout(DROPOUT, name=f"{name}_dropout1")(y)
    y = layers.Dense(dim, activation="swish", name=f"{name}_mlp2")(y)
    y = layers.Dropout(DROPOUT, name=f"{name}_dropout2")(y)
    return layers.Add(name=f"{name}_add2")([y, x])
