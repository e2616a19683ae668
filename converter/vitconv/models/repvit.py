"""RepViT-M0.9 (Wang et al., 2024, "RepViT: Revisiting Mobile CNN From ViT Perspective").

A transformer's block with convolutions: a 3×3 one of each channel mixes pixels, two 1×1 ones mix channels. The
former has branches while it is trained, which the exported graph does not have. Layer names, epsilons and padding
follow the published ImageNet weights, so that those can be loaded.

Takes raw RGB pixels 0–255, float [B, H, W, 3], and gives class probabilities, float [B, classes].
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from vitconv.data.pictures.images import ImageSpec
from vitconv.models.layers.batch_norm import BatchNorm
from vitconv.models.layers.fake_quantization import Add
from vitconv.models.layers.parallel_branches import AveragedHeads, BranchedDepthwise, SqueezeExcite
from vitconv.models.mobilevit import pad_for_stride

_WIDTHS = (48, 96, 192, 384)
_DEPTHS = (2, 2, 14, 2)  # blocks of each stage, behind the one that it begins with
# ImageNet's, by which the published weights' pixels are scaled; of pixels from 0 to 255.
_MEAN = tuple(255 * value for value in (0.485, 0.456, 0.406))
_VARIANCE = tuple((255 * value) ** 2 for value in (0.229, 0.224, 0.225))


def repvit_m0_9(spec: ImageSpec, classes: int) -> keras.Model:
    """5,489,328 parameters at 1,000 classes as it is trained (batch norm's moving statistics not counted)."""
    inputs = keras.Input(spec.shape, name="image")
    x = layers.Normalization(mean=_MEAN, variance=_VARIANCE, name="pixels")(inputs)
    x = _conv_norm(x, _WIDTHS[0] // 2, 3, "stem.conv1", strides=2)
    x = layers.Activation("gelu", name="stem.act1")(x)
    x = _conv_norm(x, _WIDTHS[0], 3, "stem.conv2", strides=2)
    for stage, (width, depth) in enumerate(zip(_WIDTHS, _DEPTHS, strict=True)):
        if stage:
            x = _downsample(x, width, f"stages.{stage}.downsample")
        for index in range(depth):
            x = _block(x, f"stages.{stage}.blocks.{index}", squeeze=index % 2 == 0)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = AveragedHeads(classes, name="head")(x)
    return keras.Model(inputs, outputs, name="repvit_m0_9")


def _block(x: Any, name: str, squeeze: bool) -> Any:
    x = BranchedDepthwise(name=f"{name}.token_mixer")(x)
    if squeeze:
        x = SqueezeExcite((x.shape[-1] // 4 + 4) // 8 * 8, name=f"{name}.se")(x)
    return _mlp(x, f"{name}.channel_mixer")


def _downsample(x: Any, width: int, name: str) -> Any:
    """Half as high and wide, and `width` channels: float [B, H, W, C] → [B, H/2, W/2, width]."""
    x = _block(x, f"{name}.pre_block", squeeze=False)
    x = pad_for_stride(x, 2, f"{name}.spatial_downsample.pad")
    x = layers.DepthwiseConv2D(3, 2, use_bias=False, name=f"{name}.spatial_downsample.c")(x)
    x = _norm(x, f"{name}.spatial_downsample.bn")
    x = _conv_norm(x, width, 1, f"{name}.channel_downsample")
    return _mlp(x, f"{name}.ffn")


def _mlp(x: Any, name: str) -> Any:
    width = x.shape[-1]
    y = _conv_norm(x, 2 * width, 1, f"{name}.conv1")
    y = layers.Activation("gelu", name=f"{name}.act")(y)
    # The article, whose trainings have 300 epochs, begins with a factor of 0 here: after eight of digits, 25 of
    # the 26 branches had no part in the answers.
    y = _conv_norm(y, width, 1, f"{name}.conv2")
    return Add(name=f"{name}.add")([x, y])


def _conv_norm(x: Any, filters: int, kernel: int, name: str, strides: int = 1) -> Any:
    x = pad_for_stride(x, strides, f"{name}.pad")
    x = layers.Conv2D(filters, kernel, strides, use_bias=False, name=f"{name}.c")(x)
    return _norm(x, f"{name}.bn")


def _norm(x: Any, name: str) -> Any:
    return BatchNorm(epsilon=1e-5, momentum=0.9, name=name)(x)
