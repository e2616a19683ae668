"""MobileViTv2 (Mehta & Rastegari, 2022, "Separable Self-attention for Mobile Vision Transformers"), at half width.

As MobileViT in the paper's formulation, but for its blocks: attention costs what the number of tokens is, not its
square; a convolution filters each channel alone; and nothing goes around a block. Layer names, epsilons and
padding follow the published ImageNet weights, so that those can be loaded.

Takes raw RGB pixels 0–255, float [B, H, W, 3], and gives class probabilities, float [B, classes].
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from vitconv.data.pictures.images import ImageSpec
from vitconv.models.layers.fake_quantization import Add
from vitconv.models.layers.gradients import swish
from vitconv.models.layers.separable_attention import MapNorm, PatchMap, PatchTokens, SeparableAttention
from vitconv.models.mobilevit import conv_bn, depthwise_bn, inverted_residual

_STAGES = (64, 128, 256, 384, 512)  # channels at full width
_STEM = 32
_DEPTHS = (2, 4, 3)  # transformer layers of the three blocks


def mobilevitv2(width: float, spec: ImageSpec, classes: int) -> keras.Model:
    """1,370,593 parameters at half width and 1,000 classes (batch norm's moving statistics not counted)."""
    stages = [int(channels * width) for channels in _STAGES]
    inputs = keras.Input(spec.shape, name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(inputs)
    x = conv_bn(x, int(_STEM * width), 3, "stem", strides=2)
    x = inverted_residual(x, 2, stages[0], 1, "stages.0.0")
    for index in range(2):
        x = inverted_residual(x, 2, stages[1], 2 if index == 0 else 1, f"stages.1.{index}")
    for stage, depth in zip((2, 3, 4), _DEPTHS, strict=True):
        x = inverted_residual(x, 2, stages[stage], 2, f"stages.{stage}.0")
        x = _block(x, stages[stage] // 2, depth, f"stages.{stage}.1")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = layers.Dense(classes, activation="softmax", name="head.fc")(x)
    return keras.Model(inputs, outputs, name=f"mobilevitv2_{round(100 * width):03}")


def _block(x: Any, dim: int, depth: int, name: str) -> Any:
    _, height, width, channels = x.shape
    x = depthwise_bn(x, 1, f"{name}.conv_kxk")
    x = layers.Conv2D(dim, 1, use_bias=False, name=f"{name}.conv_1x1")(x)
    x = PatchTokens(name=f"{name}.unfold")(x)  # [B, H, W, C] -> [B, H·W/4, 4, C]
    for index in range(depth):
        x = _transformer(x, dim, f"{name}.transformer.{index}")
    x = MapNorm(1e-5, name=f"{name}.norm")(x)
    x = PatchMap(height, width, name=f"{name}.fold")(x)  # [B, H·W/4, 4, C] -> [B, H, W, C]
    return conv_bn(x, channels, 1, f"{name}.conv_proj", activated=False)


def _transformer(x: Any, dim: int, name: str) -> Any:
    y = MapNorm(1e-5, name=f"{name}.norm1")(x)
    y = SeparableAttention(name=f"{name}.attn")(y)
    x = Add(name=f"{name}.add1")([y, x])
    y = MapNorm(1e-5, name=f"{name}.norm2")(x)
    y = layers.Dense(2 * dim, activation=swish, name=f"{name}.mlp.fc1")(y)
    y = layers.Dense(dim, name=f"{name}.mlp.fc2")(y)
    return Add(name=f"{name}.add2")([y, x])
