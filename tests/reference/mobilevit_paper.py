"""MobileViT-XXS, -XS and -S of the paper (Mehta and Rastegari, 2021), in timm's reading of it.

Structure and widths are those of timm's `mobilevit_xxs`, `mobilevit_xs` and `mobilevit_s`. Compared once with
timm 1.0.31 on 64 × 64 pixels, with the same random weights: the probabilities differ by less than 1e-7. Added
here are the division by 255 in front and the softmax behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np
from keras import layers, ops

Variant = Literal["xxs", "xs", "s"]

PATCH = 2
HEADS = 4
MLP_RATIO = 2
# PyTorch's default of both normalisations, where Keras's is 1e-3.
EPSILON = 1e-5


@dataclass(frozen=True)
class Widths:
    """Channels of the network's stages, from the image on, and its inverted residuals' expansion."""

    early: tuple[int, int]
    late: tuple[int, int, int]
    transformer: tuple[int, int, int]
    final: int
    expansion: int


WIDTHS: dict[Variant, Widths] = {
    "xxs": Widths((16, 24), (48, 64, 80), (64, 80, 96), final=320, expansion=2),
    "xs": Widths((32, 48), (64, 80, 96), (96, 120, 144), final=384, expansion=4),
    "s": Widths((32, 64), (96, 128, 160), (144, 192, 240), final=640, expansion=4),
}
STEM_WIDTH = 16
DEPTHS = (2, 4, 3)


def build(variant: Variant = "xxs", num_classes: int = 1000, image_size: int = 256) -> keras.Model:
    """RGB [batch, image_size, image_size, 3], 0–255 → class probabilities [batch, num_classes].

    `image_size` must be a multiple of 32. Feature maps that don't divide into 2 × 2 patches are enlarged by one
    row and column first.
    """
    if image_size % 32:
        raise ValueError(f"image_size must be a multiple of 32, not {image_size}.")
    widths = WIDTHS[variant]
    image = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    x = convolution(x, STEM_WIDTH, kernel=3, stride=2, name="stem")
    x = inverted_residual(x, widths.early[0], widths.expansion, stride=1, name="stage1_ir1")
    for number, stride in ((1, 2), (2, 1), (3, 1)):
        x = inverted_residual(x, widths.early[1], widths.expansion, stride=stride, name=f"stage2_ir{number}")
    for number, channels, dim, depth in zip((3, 4, 5), widths.late, widths.transformer, DEPTHS, strict=True):
        x = inverted_residual(x, channels, widths.expansion, stride=2, name=f"stage{number}_ir1")
        x = _mobilevit_block(x, dim, depth=depth, name=f"stage{number}_vit")
    x = convolution(x, widths.final, kernel=1, stride=1, name="final")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    probabilities = layers.Dense(num_classes, activation="softmax", name="head")(x)
    return keras.Model(image, probabilities, name=f"mobilevit_paper_{variant}")


def convolution(x: keras.KerasTensor, filters: int, *, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    if kernel == 3:
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = layers.Conv2D(filters, kernel, strides=stride, use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_norm")(x)
    return layers.Activation("silu", name=f"{name}_silu")(x)


def depthwise(x: keras.KerasTensor, *, stride: int, name: str) -> keras.KerasTensor:
    # PyTorch pads all four sides alike, with a stride too; "same" would pad below and right only.
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = layers.DepthwiseConv2D(3, strides=stride, use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_norm")(x)
    return layers.Activation("silu", name=f"{name}_silu")(x)


def inverted_residual(
    x: keras.KerasTensor, filters: int, expansion: int, *, stride: int, name: str
) -> keras.KerasTensor:
    channels = x.shape[-1]
    y = convolution(x, channels * expansion, kernel=1, stride=1, name=f"{name}_expand")
    y = depthwise(y, stride=stride, name=f"{name}_depthwise")
    y = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")(y)
    y = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_project_norm")(y)
    if stride == 1 and channels == filters:
        y = layers.Add(name=f"{name}_add")([x, y])
    return y


def _interpolate(x: keras.KerasTensor, height: int, width: int) -> keras.KerasTensor:
    """Bilinear, by a matrix for the rows and one for the columns (torch's interpolate, align_corners=False)."""
    _, rows, columns, _ = x.shape
    if (rows, columns) == (height, width):
        return x
    return ops.einsum("hr,wc,brcd->bhwd", _weights(rows, height), _weights(columns, width), x)


def _weights(old: int, new: int) -> np.ndarray:
    """[new, old]: what each new pixel takes of each old one; centres are half a pixel in from the edges."""
    weights = np.zeros((new, old), np.float32)
    for index in range(new):
        place = min(max((index + 0.5) * old / new - 0.5, 0), old - 1)
        first = min(int(place), old - 2)
        weights[index, first], weights[index, first + 1] = 1 - (place - first), place - first
    return weights


def _mobilevit_block(x: keras.KerasTensor, dim: int, *, depth: int, name: str) -> keras.KerasTensor:
    """[batch, H, W, C] → the same shape. A pixel attends to those at its own place in all 2 × 2 patches."""
    _, height, width, channels = x.shape
    rows, columns = -(-height // PATCH), -(-width // PATCH)
    y = convolution(x, channels, kernel=3, stride=1, name=f"{name}_local")
    y = layers.Conv2D(dim, 1, use_bias=False, name=f"{name}_widen")(y)

    y = _interpolate(y, rows * PATCH, columns * PATCH)
    # [batch, H, W, dim] -> [batch, 2, 2, rows, columns, dim] -> [batch * 4, rows * columns, dim]
    y = ops.reshape(y, (-1, rows, PATCH, columns, PATCH, dim))
    y = ops.transpose(y, (0, 2, 4, 1, 3, 5))
    y = ops.reshape(y, (-1, rows * columns, dim))
    for number in range(1, depth + 1):
        y = _transformer_layer(y, dim, name=f"{name}_layer{number}")
    y = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_norm")(y)
    # [batch * 4, rows * columns, dim] -> [batch, rows, 2, columns, 2, dim] -> [batch, H, W, dim]
    y = ops.reshape(y, (-1, PATCH, PATCH, rows, columns, dim))
    y = ops.transpose(y, (0, 3, 1, 4, 2, 5))
    y = ops.reshape(y, (-1, rows * PATCH, columns * PATCH, dim))
    y = _interpolate(y, height, width)

    y = convolution(y, channels, kernel=1, stride=1, name=f"{name}_narrow")
    y = layers.Concatenate(name=f"{name}_concatenate")([x, y])
    return convolution(y, channels, kernel=3, stride=1, name=f"{name}_fuse")


def _transformer_layer(x: keras.KerasTensor, dim: int, *, name: str) -> keras.KerasTensor:
    y = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_norm1")(x)
    y = layers.MultiHeadAttention(HEADS, key_dim=dim // HEADS, name=f"{name}_attention")(y, y)
    x = layers.Add(name=f"{name}_add1")([x, y])
    y = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_norm2")(x)
    y = layers.Dense(dim * MLP_RATIO, activation="silu", name=f"{name}_mlp1")(y)
    y = layers.Dense(dim, name=f"{name}_mlp2")(y)
    return layers.Add(name=f"{name}_add2")([x, y])
