"""How a transformer's tokens come back into a network of convolutions, and what keeps that way open in training.

A MobileViT block joins what its transformer gives with a shortcut around it. Nothing normalises the tokens of the
article's network before the convolution that leads out of the transformer: their mean grows, and a few steps of
the optimizer can push all of a channel's sums below −16, where swish and its gradient are 0. The shortcut lets the
network do without, so that no accuracy shows it, and no gradient brings the transformer back.

Inside the transformer the same happens on a small scale: what a layer adds to its tokens can stay so small beside
them that the answers do not change without it.

All layers are their bases outside training, with the same weights and the same graph.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from vitconv.models.layers.fake_quantization import Add
from vitconv.models.layers.gradients import held_above, held_apart
from vitconv.models.layers.seeds import next_seed

SILENT = -4.0  # swish gives −0.07 there and its slope is −0.05; below, both run to 0
IDLE = 0.5  # a branch that varies less than this beside its tokens does little


def _replicas() -> int:
    """The loss is the mean over the images of all replicas, so of a penalty each adds so small a share."""
    replica = tf.distribute.get_replica_context()
    return 1 if replica is None else int(replica.num_replicas_in_sync)


@keras.saving.register_keras_serializable("vitconv")
class ExitConv(keras.layers.Conv2D):
    """A convolution out of a transformer: float [B, H, W, C] → float [B, H, W, filters].

    With `dead_penalty` p, a training step's gradient is that of the loss and of p · mean(relu(−4 − s)²), s being
    the sums before the activation: a pull back that does not vanish where the activation's gradient does. The loss
    that is shown is without it.
    """

    dead_penalty = 0.0

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or not self.dead_penalty:
            return super().call(inputs)
        sums = self.convolution_op(inputs, self.kernel) + self.bias
        return self.activation(held_above(sums, SILENT, self.dead_penalty / _replicas()))


@keras.saving.register_keras_serializable("vitconv")
class BranchAdd(Add):
    """The sum of (branch, tokens), float [..., C] each.

    With `idle_penalty` p, a training step's gradient is that of the loss and of p · relu(0.5 − r)², r being the
    branch's spread over images and tokens as a fraction of the tokens' own (see `gradients.held_apart`).
    """

    idle_penalty = 0.0

    def call(self, inputs: tuple[Any, Any], training: bool = False) -> Any:
        branch, tokens = inputs
        if training and self.idle_penalty:
            branch = held_apart(branch, tokens, IDLE, self.idle_penalty / _replicas())
        return super().call((branch, tokens), training)


@keras.saving.register_keras_serializable("vitconv")
class ShortcutConcat(keras.layers.Concatenate):
    """Joins (shortcut, features), float [B, H, W, C] each, to float [B, H, W, 2·C].

    With `drop` d, the shortcut is all zeros for a share d of a training batch's images, chosen anew at each step:
    for these the answer depends on the features alone, so the network cannot learn to do without them.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.drop = 0.0
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs: Any, training: bool = False) -> Any:
        shortcut, features = inputs
        if training and self.drop:
            images = tf.shape(shortcut)[0]
            draw = tf.random.stateless_uniform([images, 1, 1, 1], next_seed(self.seed_generator))
            shortcut = shortcut * tf.cast(draw >= self.drop, shortcut.dtype)
        return ops.concatenate([shortcut, features], axis=self.axis)

    def compute_output_spec(self, inputs: Any, training: bool = False) -> Any:
        return super().compute_output_spec(inputs)  # Keras's own knows no `training`
