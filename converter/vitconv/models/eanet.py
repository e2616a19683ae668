"""EANet (Guo et al., 2021, "Beyond Self-attention: External Attention using Two Linear Layers for Visual Tasks"),
as the Keras code example writes it for CIFAR-100.

Takes raw RGB pixels 0–255, float [B, 32, 32, 3], and gives class probabilities, float [B, classes].
"""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import layers, ops

from vitconv.data.pictures.images import ImageSpec
from vitconv.models.layers.attention import NormedExternalAttention, NormedSelfAttention
from vitconv.models.layers.dropout import Dropout
from vitconv.models.layers.fake_quantization import Add
from vitconv.models.layers.normalisation import LayerNorm
from vitconv.models.layers.patches import PatchEmbedding

PATCH_SIZE = 2
EMBEDDING = 64
MLP = 64
BLOCKS = 8
HEADS = 4
DIM_COEFFICIENT = 4
DROPOUT = 0.2


def eanet(attention: Literal["external", "self"], spec: ImageSpec, classes: int) -> keras.Model:
    """`attention` "self" is the article's other branch, with ordinary multi-head self-attention.

    The normalisation of the pixels holds the training images' mean and variance, set before training with
    `model.get_layer("normalise").adapt(images)`.
    """
    inputs = keras.Input(spec.shape, name="image")
    x = layers.Normalization(name="normalise")(inputs)
    x = PatchEmbedding(PATCH_SIZE, EMBEDDING, name="embed")(x)
    for index in range(BLOCKS):
        x = _encoder(x, attention, f"block{index}")
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    outputs = layers.Dense(classes, activation="softmax", name="head")(x)
    return keras.Model(inputs, outputs, name="eanet" if attention == "external" else "eanet_self_attention")


def _encoder(x: Any, attention: str, name: str) -> Any:
    if attention == "external":
        heads = HEADS * DIM_COEFFICIENT
        y = NormedExternalAttention(
            1e-5,
            heads=heads,
            head_dim=EMBEDDING * DIM_COEFFICIENT // heads,
            units=EMBEDDING // DIM_COEFFICIENT,
            attention_dropout=DROPOUT,
            projection_dropout=DROPOUT,
            name=f"{name}.attention",
        )(x)
    else:
        y = NormedSelfAttention(1e-5, HEADS, EMBEDDING, DROPOUT, name=f"{name}.attention")(x)
    x = Add(name=f"{name}.add1")([y, x])
    y = LayerNorm(1e-5, name=f"{name}.norm2")(x)
    y = layers.Dense(MLP, activation=ops.gelu, name=f"{name}.mlp1")(y)
    y = Dropout(DROPOUT, name=f"{name}.drop1")(y)
    y = layers.Dense(EMBEDDING, name=f"{name}.mlp2")(y)
    y = Dropout(DROPOUT, name=f"{name}.drop2")(y)
    return Add(name=f"{name}.add2")([y, x])
