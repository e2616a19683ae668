"""Adam (Kingma & Ba, 2015) with a variable's whole step in one operation of TensorFlow.

Keras writes it out in a dozen, each a pass over memory: with small images, an eighth of MobileViT's training time.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class FusedAdam(keras.optimizers.Adam):
    """keras.optimizers.Adam without AMSGrad; with `weight_decay`, AdamW (Loshchilov & Hutter, 2019)."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates `variable`, which Keras hands over as TensorFlow's own."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.constant(self.beta_1), step),
            beta2_power=tf.pow(tf.constant(self.beta_2), step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )
