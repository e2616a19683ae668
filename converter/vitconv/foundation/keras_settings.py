"""Keras reads its backend and its number type from the user's own settings; these networks need certain ones.

KERAS_BACKEND and ~/.keras/keras.json may name JAX or PyTorch, float16 or channels first, which others of the
user's programs want.
"""

from __future__ import annotations

import os
import sys

from vitconv.foundation.errors import InputError

_BACKEND = "tensorflow"


def choose_keras() -> None:
    """For a process of our own: Keras, wherever it is imported from now on, computes with TensorFlow in float32,
    the channels last, whatever the user's settings are. Imports Keras.

    Raises InputError as `require_keras`.
    """
    os.environ["KERAS_BACKEND"] = _BACKEND
    import keras

    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
    require_keras()


def require_keras() -> None:
    """For a process that may be somebody's notebook: has Keras import TensorFlow where it is not imported yet.

    Raises InputError where it is imported with other settings than these networks need.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = _BACKEND
    import keras

    backend = keras.config.backend()
    if backend != _BACKEND:
        raise InputError(
            f"Keras computes with {backend} in this process, and vitconv needs TensorFlow. Start Python anew with "
            f"KERAS_BACKEND={_BACKEND}."
        )
    floats, order = keras.config.floatx(), keras.config.image_data_format()
    policy = keras.config.dtype_policy().name
    if floats != "float32" or policy != "float32":
        raise InputError(
            f"Keras computes in {floats if floats != 'float32' else policy} here, and vitconv needs float32. Call "
            "keras.config.set_floatx('float32') and keras.config.set_dtype_policy('float32') first, or correct "
            "keras.json."
        )
    if order != "channels_last":
        raise InputError(
            f"Keras's image_data_format is {order}, and vitconv needs channels_last. Call "
            "keras.config.set_image_data_format('channels_last') first, or correct keras.json."
        )
