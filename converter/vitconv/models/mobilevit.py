"""MobileViT (Mehta & Rastegari, 2022, "MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision
Transformer"), in two formulations:

- `article`: the XXS network of the Keras code example. Its attention spans all tokens of the feature map at once.
- `paper`: the paper's XXS, XS and S. A feature map is unfolded into 2×2 patches, and a pixel attends to the pixels
  at the same place in the other patches only: a quarter of the attention's work. Layer names, epsilons and
  padding follow the published ImageNet weights, so that those can be loaded.

Both take raw RGB pixels 0–255, float [B, H, W, 3], and give class probabilities, float [B, classes].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from vitconv.data.pictures.images import ImageSpec
from vitconv.models.layers.attention import NormedSelfAttention
from vitconv.models.layers.batch_norm import BatchNorm
from vitconv.models.layers.dropout import Dropout
from vitconv.models.layers.fake_quantization import Add, Swish
from vitconv.models.layers.gradients import swish
from vitconv.models.layers.normalisation import LayerNorm
from vitconv.models.layers.patches import FoldPatches, UnfoldPatches
from vitconv.models.layers.token_stream import TokenConv, TokenDense
from vitconv.models.layers.transformer_exit import BranchAdd, ExitConv, ShortcutConcat


def article(spec: ImageSpec, classes: int) -> keras.Model:
    """The article's MobileViT-XXS: 1,307,621 parameters at 5 classes."""
    expansion = 2
    inputs = keras.Input(spec.shape, name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(inputs)
    x = _conv_swish(x, 16, 3, strides=2, name="stem")
    x = _article_residual(x, 16 * expansion, 16, 1, "stage0.residual0")
    x = _article_residual(x, 16 * expansion, 24, 2, "stage1.residual0")
    x = _article_residual(x, 24 * expansion, 24, 1, "stage1.residual1")
    x = _article_residual(x, 24 * expansion, 24, 1, "stage1.residual2")
    x = _article_residual(x, 24 * expansion, 48, 2, "stage2.residual0")
    x = _article_block(x, dim=64, depth=2, name="stage2.mobilevit")
    x = _article_residual(x, 64 * expansion, 64, 2, "stage3.residual0")
    x = _article_block(x, dim=80, depth=4, name="stage3.mobilevit")
    x = _article_residual(x, 80 * expansion, 80, 2, "stage4.residual0")
    x = _article_block(x, dim=96, depth=3, name="stage4.mobilevit")
    x = _conv_swish(x, 320, 1, name="final")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = layers.Dense(classes, activation="softmax", name="head")(x)
    return keras.Model(inputs, outputs, name="mobilevit_xxs")


def _conv_swish(x: Any, filters: int, kernel: int, name: str, strides: int = 1) -> Any:
    return layers.Conv2D(filters, kernel, strides, padding="same", activation=swish, name=name)(x)


def _article_residual(x: Any, expanded: int, filters: int, strides: int, name: str) -> Any:
    """MobileNetV2's inverted residual: expand 1×1, filter each channel 3×3, project 1×1."""
    shortcut = x
    x = layers.Conv2D(expanded, 1, use_bias=False, name=f"{name}.expand")(x)
    x = BatchNorm(name=f"{name}.expand_bn")(x)
    x = Swish(name=f"{name}.expand_swish")(x)
    # At stride 2 on an even size, "same" pads below and on the right only, as the article's explicit padding does.
    x = layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False, name=f"{name}.depthwise")(x)
    x = BatchNorm(name=f"{name}.depthwise_bn")(x)
    x = Swish(name=f"{name}.depthwise_swish")(x)
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}.project")(x)
    x = BatchNorm(name=f"{name}.project_bn")(x)
    if strides == 1 and shortcut.shape[-1] == filters:
        x = Add(name=f"{name}.add")([x, shortcut])
    return x


def _article_block(x: Any, dim: int, depth: int, name: str) -> Any:
    """Local features by convolution, global ones by a transformer over all pixels, fused by a convolution."""
    shortcut = x
    _, height, width, channels = x.shape
    x = _conv_swish(x, dim, 3, name=f"{name}.local3x3")
    x = _conv_swish(x, dim, 1, name=f"{name}.local1x1")
    # The article reshapes to [B, 4, H·W/4, dim] and attends over both middle axes: the same as over all H·W.
    x = layers.Reshape((height * width, dim), name=f"{name}.tokens")(x)
    for index in range(depth):
        x = _article_transformer(x, dim, f"{name}.transformer{index}")
    x = layers.Reshape((height, width, dim), name=f"{name}.pixels")(x)
    x = ExitConv(channels, 1, padding="same", activation=swish, name=f"{name}.project")(x)
    x = ShortcutConcat(name=f"{name}.concat")([shortcut, x])
    return _conv_swish(x, dim, 3, name=f"{name}.fuse")


def _article_transformer(x: Any, dim: int, name: str) -> Any:
    y = NormedSelfAttention(1e-6, heads=2, key_dim=dim, dropout=0.1, name=f"{name}.attention")(x)
    x = BranchAdd(name=f"{name}.add1")([y, x])
    y = LayerNorm(1e-6, name=f"{name}.norm2")(x)
    y = layers.Dense(2 * dim, activation=swish, name=f"{name}.mlp1")(y)
    y = Dropout(0.1, name=f"{name}.drop1")(y)
    y = layers.Dense(dim, activation=swish, name=f"{name}.mlp2")(y)
    y = Dropout(0.1, name=f"{name}.drop2")(y)
    return BranchAdd(name=f"{name}.add2")([y, x])


@dataclass(frozen=True)
class PaperWidths:
    """One of the paper's three sizes: channels after each stage, the transformers' dimensions, the last width."""

    expansion: int
    stages: tuple[int, int, int, int, int]
    dims: tuple[int, int, int]
    final: int


PAPER = {
    "xxs": PaperWidths(2, (16, 24, 48, 64, 80), (64, 80, 96), 320),
    "xs": PaperWidths(4, (32, 48, 64, 80, 96), (96, 120, 144), 384),
    "s": PaperWidths(4, (32, 64, 96, 128, 160), (144, 192, 240), 640),
}
_DEPTHS = (2, 4, 3)  # transformer layers of the three MobileViT blocks, the same for all sizes


def paper(size: str, spec: ImageSpec, classes: int) -> keras.Model:
    """The paper's network of size "xxs", "xs" or "s": 1,272,024, 2,317,848 and 5,578,632 parameters at 1,000
    classes (batch norm's moving statistics not counted)."""
    widths = PAPER[size]
    inputs = keras.Input(spec.shape, name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(inputs)
    x = conv_bn(x, 16, 3, "stem", strides=2)
    x = inverted_residual(x, widths.expansion, widths.stages[0], 1, "stages.0.0")
    for index in range(3):
        x = inverted_residual(x, widths.expansion, widths.stages[1], 2 if index == 0 else 1, f"stages.1.{index}")
    for stage, dim, depth in zip((2, 3, 4), widths.dims, _DEPTHS, strict=True):
        x = inverted_residual(x, widths.expansion, widths.stages[stage], 2, f"stages.{stage}.0")
        x = _paper_block(x, dim, depth, f"stages.{stage}.1")
    x = conv_bn(x, widths.final, 1, "final_conv")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = layers.Dense(classes, activation="softmax", name="head.fc")(x)
    return keras.Model(inputs, outputs, name=f"mobilevit_paper_{size}")


def conv_bn(x: Any, filters: int, kernel: int, name: str, strides: int = 1, activated: bool = True) -> Any:
    """A convolution, batch normalisation and swish, with the paper's names and padding."""
    x = pad_for_stride(x, strides, f"{name}.pad")
    padding = "same" if strides == 1 else "valid"
    x = layers.Conv2D(filters, kernel, strides, padding=padding, use_bias=False, name=f"{name}.conv")(x)
    return _bn(x, f"{name}.bn", activated)


def pad_for_stride(x: Any, strides: int, name: str) -> Any:
    """The published weights were trained with one pixel of padding on every side, also where the stride is 2."""
    return layers.ZeroPadding2D(1, name=name)(x) if strides == 2 else x


def _bn(x: Any, name: str, activated: bool) -> Any:
    x = BatchNorm(epsilon=1e-5, momentum=0.9, name=name)(x)
    return Swish(name=f"{name}.act")(x) if activated else x


def depthwise_bn(x: Any, strides: int, name: str) -> Any:
    """As `conv_bn`, of each channel alone, 3×3."""
    x = pad_for_stride(x, strides, f"{name}.pad")
    padding = "same" if strides == 1 else "valid"
    x = layers.DepthwiseConv2D(3, strides, padding=padding, use_bias=False, name=f"{name}.conv")(x)
    return _bn(x, f"{name}.bn", activated=True)


def inverted_residual(x: Any, expansion: int, filters: int, strides: int, name: str) -> Any:
    """MobileNetV2's, with the paper's names and padding."""
    shortcut = x
    x = conv_bn(x, expansion * x.shape[-1], 1, f"{name}.conv1_1x1")
    x = depthwise_bn(x, strides, f"{name}.conv2_kxk")
    x = conv_bn(x, filters, 1, f"{name}.conv3_1x1", activated=False)
    if strides == 1 and shortcut.shape[-1] == filters:
        x = Add(name=f"{name}.add")([x, shortcut])
    return x


def _paper_block(x: Any, dim: int, depth: int, name: str) -> Any:
    shortcut = x
    _, height, width, channels = x.shape
    x = conv_bn(x, channels, 3, f"{name}.conv_kxk")
    x = TokenConv(dim, 1, use_bias=False, name=f"{name}.conv_1x1")(x)
    x = UnfoldPatches(name=f"{name}.unfold")(x)  # [B, H, W, C] -> [4B, H·W/4, C]
    for index in range(depth):
        x = _paper_transformer(x, dim, f"{name}.transformer.{index}")
    x = LayerNorm(1e-5, token_stream=True, name=f"{name}.norm")(x)
    x = FoldPatches(height, width, name=f"{name}.fold")(x)  # [4B, H·W/4, C] -> [B, H, W, C]
    x = conv_bn(x, channels, 1, f"{name}.conv_proj")
    x = ShortcutConcat(name=f"{name}.concat")([shortcut, x])
    return conv_bn(x, channels, 3, f"{name}.conv_fusion")


def _paper_transformer(x: Any, dim: int, name: str) -> Any:
    heads = 4
    y = NormedSelfAttention(1e-5, heads, key_dim=dim // heads, token_stream=True, name=f"{name}.attn")(x)
    x = BranchAdd(name=f"{name}.add1")([y, x])
    y = LayerNorm(1e-5, token_stream=True, name=f"{name}.norm2")(x)
    y = layers.Dense(2 * dim, activation=swish, name=f"{name}.mlp.fc1")(y)
    y = TokenDense(dim, name=f"{name}.mlp.fc2")(y)
    return BranchAdd(name=f"{name}.add2")([y, x])
