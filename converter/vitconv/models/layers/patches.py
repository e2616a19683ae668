"""Pictures and feature maps ⇄ patches, the tokens of a transformer."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from vitconv.models.layers.seeds import next_seed


@keras.saving.register_keras_serializable("vitconv")
class PatchEmbedding(layers.Layer):
    """Cuts an image into patches, projects each, and adds a learned position embedding.

    x: float [B, H, W, 3] → float [B, N, C] with N = H·W / patch², patches row by row. The projection of patches
    is a convolution whose stride is its kernel size; a patch's values are ordered row, column, channel.

    `kept` is for training alone: below 1, only that fraction of an image's patches goes on, chosen at random for
    each image and step, so that x becomes [B, round(N · kept), C].
    """

    def __init__(self, patch_size: int, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.channels = channels
        self.kept = 1.0
        self.seed_generator = keras.random.SeedGenerator(0)

    def build(self, input_shape: tuple[int, ...]) -> None:
        _, height, width, depth = input_shape
        self.patches = (height // self.patch_size) * (width // self.patch_size)
        size = self.patch_size**2 * depth
        self.kernel = self.add_weight(name="kernel", shape=(size, self.channels), initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(self.channels,), initializer="zeros")
        self.position = self.add_weight(
            name="position", shape=(self.patches, self.channels), initializer="random_uniform"
        )

    def call(self, x: Any, training: bool = False) -> Any:
        size = self.patch_size
        kernel = ops.reshape(self.kernel, (size, size, x.shape[-1], self.channels))
        x = ops.conv(x, kernel, strides=size, padding="valid") + self.bias  # [B, H/p, W/p, C]
        x = ops.reshape(x, (-1, self.patches, self.channels)) + self.position
        return self._some(x) if training and self.kept < 1 else x

    def _some(self, x: Any) -> Any:
        """Some tokens of each image: [B, N, C] -> [B, round(N · kept), C]."""
        noise = tf.random.stateless_uniform([tf.shape(x)[0], self.patches], next_seed(self.seed_generator))
        chosen = tf.math.top_k(noise, round(self.patches * self.kept), sorted=False).indices
        return tf.gather(x, chosen, batch_dims=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "patch_size": self.patch_size, "channels": self.channels}


@keras.saving.register_keras_serializable("vitconv")
class UnfoldPatches(layers.Layer):
    """Gathers the pixels that have the same position inside their 2×2 patch (Mehta & Rastegari, 2022).

    x: float [B, H, W, C] → float [B·4, H·W/4, C]. `FoldPatches` undoes it. An odd height or width is enlarged by
    one first, bilinearly, as the published weights' own code does.
    """

    def call(self, x: Any) -> Any:
        _, height, width, channels = x.shape
        x = _resized(x, height, width, _even(height), _even(width))
        height, width = _even(height), _even(width)
        x = tf.nn.space_to_depth(x, 2)  # [B, H/2, W/2, 4·C]
        x = ops.reshape(x, (-1, height * width // 4, 4, channels))
        x = ops.transpose(x, (0, 2, 1, 3))  # [B, N, 4, C] -> [B, 4, N, C]
        return ops.reshape(x, (-1, height * width // 4, channels))


@keras.saving.register_keras_serializable("vitconv")
class FoldPatches(layers.Layer):
    """Puts unfolded patches back in their places: float [B·4, H·W/4, C] → float [B, H, W, C], H·W of the even
    numbers that `UnfoldPatches` made of an odd height or width, which come back."""

    def __init__(self, height: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height = height
        self.width = width

    def call(self, x: Any) -> Any:
        _, patches, channels = x.shape
        x = ops.reshape(x, (-1, 4, patches, channels))
        x = ops.transpose(x, (0, 2, 1, 3))  # [B, 4, N, C] -> [B, N, 4, C]
        height, width = _even(self.height), _even(self.width)
        x = ops.reshape(x, (-1, height // 2, width // 2, 4 * channels))
        return _resized(tf.nn.depth_to_space(x, 2), height, width, self.height, self.width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "height": self.height, "width": self.width}


def _even(size: int) -> int:
    return size + size % 2


def _resized(x: Any, height: int, width: int, new_height: int, new_width: int) -> Any:
    """float [B, height, width, C] → float [B, new_height, new_width, C], bilinearly between pixels' centres."""
    if (height, width) == (new_height, new_width):
        return x
    return tf.image.resize(x, (new_height, new_width))
