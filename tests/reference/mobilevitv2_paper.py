"""MobileViTv2-0.5 of the paper (Mehta and Rastegari, 2022), in timm's reading of it (`mobilevitv2_050`).

Written with Keras's own layers on maps: the patches appear where the attention's softmax is taken, and nowhere
else. Added here are the division by 255 in front and the softmax behind.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from reference.mobilevit_paper import EPSILON, convolution, depthwise, inverted_residual

STAGES = (32, 64, 128, 192, 256)
STEM_WIDTH = 16
DEPTHS = (2, 4, 3)


def build(num_classes: int = 1000, image_size: int = 256) -> keras.Model:
    """RGB [batch, image_size, image_size, 3], 0–255 → class probabilities [batch, num_classes]; `image_size` is a
    multiple of 64."""
    if image_size % 64:
        raise ValueError(f"image_size must be a multiple of 64, not {image_size}.")
    image = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    x = convolution(x, STEM_WIDTH, kernel=3, stride=2, name="stem")
    x = inverted_residual(x, STAGES[0], 2, stride=1, name="stage1_ir1")
    for number, stride in ((1, 2), (2, 1)):
        x = inverted_residual(x, STAGES[1], 2, stride=stride, name=f"stage2_ir{number}")
    for number, channels, depth in zip((3, 4, 5), STAGES[2:], DEPTHS, strict=True):
        x = inverted_residual(x, channels, 2, stride=2, name=f"stage{number}_ir1")
        x = _block(x, depth, name=f"stage{number}_vit")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    probabilities = layers.Dense(num_classes, activation="softmax", name="head")(x)
    return keras.Model(image, probabilities, name="mobilevitv2_050")


def _block(x: keras.KerasTensor, depth: int, *, name: str) -> keras.KerasTensor:
    """[batch, H, W, C] → the same shape."""
    channels = x.shape[-1]
    y = depthwise(x, stride=1, name=f"{name}_local")
    y = layers.Conv2D(channels // 2, 1, use_bias=False, name=f"{name}_narrow")(y)
    for number in range(1, depth + 1):
        y = _transformer_layer(y, name=f"{name}_layer{number}")
    y = layers.GroupNormalization(1, epsilon=EPSILON, name=f"{name}_norm")(y)
    y = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_widen_conv")(y)
    return layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_widen_norm")(y)


def _transformer_layer(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    channels = x.shape[-1]
    y = layers.GroupNormalization(1, epsilon=EPSILON, name=f"{name}_norm1")(x)
    y = _attention(y, channels, name=f"{name}_attention")
    x = layers.Add(name=f"{name}_add1")([x, y])
    y = layers.GroupNormalization(1, epsilon=EPSILON, name=f"{name}_norm2")(x)
    y = layers.Dense(2 * channels, activation="silu", name=f"{name}_mlp1")(y)
    y = layers.Dense(channels, name=f"{name}_mlp2")(y)
    return layers.Add(name=f"{name}_add2")([x, y])


def _attention(x: keras.KerasTensor, channels: int, *, name: str) -> keras.KerasTensor:
    """A pixel has a score, a key and a value; the softmax is over the pixels at its own place in all 2 × 2
    patches."""
    _, height, width, _ = x.shape
    joined = layers.Dense(1 + 2 * channels, name=f"{name}_qkv")(x)
    # [batch, H, W, 1 + 2C] -> [batch, H/2, 2, W/2, 2, 1 + 2C]
    joined = ops.reshape(joined, (-1, height // 2, 2, width // 2, 2, 1 + 2 * channels))
    score, key, value = joined[..., :1], joined[..., 1 : 1 + channels], joined[..., 1 + channels :]
    raised = ops.exp(score - ops.max(score, axis=(1, 3), keepdims=True))
    weights = raised / ops.sum(raised, axis=(1, 3), keepdims=True)
    context = ops.sum(weights * key, axis=(1, 3), keepdims=True)
    mixed = ops.reshape(ops.relu(value) * context, (-1, height, width, channels))
    return layers.Dense(channels, name=f"{name}_out")(mixed)
