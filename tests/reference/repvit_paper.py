"""RepViT-M0.9 of the paper (Wang et al., 2024) as it is trained, in timm's reading of it (`repvit_m0_9`).

Written with Keras's own layers, all branches side by side. Added here are the division by 255 in front and the
softmax behind.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

EPSILON = 1e-5
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of pixels from 0 to 1
STAGES = ((48, 2), (96, 2), (192, 14), (384, 2))  # channels, blocks


def build(num_classes: int = 1000, image_size: int = 224) -> keras.Model:
    """RGB [batch, image_size, image_size, 3], 0–255 → class probabilities [batch, num_classes]; `image_size` is a
    multiple of 32."""
    if image_size % 32:
        raise ValueError(f"image_size must be a multiple of 32, not {image_size}.")
    image = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    x = layers.Normalization(mean=MEAN, variance=np.square(DEVIATION), name="standardize")(x)
    x = layers.Activation("gelu", name="stem_gelu")(_convolution(x, 24, kernel=3, stride=2, name="stem1"))
    x = _convolution(x, 48, kernel=3, stride=2, name="stem2")
    for number, (channels, blocks) in enumerate(STAGES, start=1):
        if number > 1:
            x = _mixed(x, name=f"stage{number}_before_mixer")
            x = _channel_mixer(x, name=f"stage{number}_before_mlp")
            x = _strided(x, name=f"stage{number}_halve")
            x = _convolution(x, channels, kernel=1, stride=1, name=f"stage{number}_widen")
            x = _channel_mixer(x, name=f"stage{number}_behind_mlp")
        for block in range(1, blocks + 1):
            x = _mixed(x, name=f"stage{number}_block{block}_mixer")
            if block % 2:
                x = _squeezed(x, name=f"stage{number}_block{block}_se")
            x = _channel_mixer(x, name=f"stage{number}_block{block}_mlp")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    logits = []
    for head in ("head", "distilled"):
        normed = layers.BatchNormalization(epsilon=EPSILON, name=f"{head}_norm")(x)
        logits.append(layers.Dense(num_classes, name=f"{head}_dense")(normed))
    probabilities = layers.Activation("softmax", name="softmax")(layers.Average(name="mean")(logits))
    return keras.Model(image, probabilities, name="repvit_m0_9")


def _convolution(x: keras.KerasTensor, filters: int, *, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    if kernel == 3:
        # PyTorch pads all four sides alike, with a stride too; "same" would pad below and right only.
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = layers.Conv2D(filters, kernel, strides=stride, use_bias=False, name=f"{name}_conv")(x)
    return layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_norm")(x)


def _strided(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = layers.DepthwiseConv2D(3, strides=2, use_bias=False, name=f"{name}_conv")(x)
    return layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_norm")(x)


def _mixed(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """The token mixer: three branches, of which one is x itself."""
    wide = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_3x3_conv")(x)
    wide = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_3x3_norm")(wide)
    point = layers.DepthwiseConv2D(1, name=f"{name}_1x1_conv")(x)
    x = layers.Add(name=f"{name}_sum")([wide, point, x])
    return layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_norm")(x)


def _squeezed(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    channels = x.shape[-1]
    hidden = (channels // 4 + 4) // 8 * 8  # the multiple of eight that is nearest to a quarter, or the next above
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    gate = layers.Conv2D(hidden, 1, activation="relu", name=f"{name}_narrow")(gate)
    gate = layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_widen")(gate)
    return layers.Multiply(name=f"{name}_scale")([x, gate])


def _channel_mixer(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    channels = x.shape[-1]
    y = _convolution(x, 2 * channels, kernel=1, stride=1, name=f"{name}_widen")
    y = layers.Activation("gelu", name=f"{name}_gelu")(y)
    y = _convolution(y, channels, kernel=1, stride=1, name=f"{name}_narrow")
    return layers.Add(name=f"{name}_add")([x, y])
