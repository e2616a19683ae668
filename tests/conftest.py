"""What several test modules share."""

from __future__ import annotations

import warnings

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tiny_tflite() -> dict[str, bytes]:
    """Scheme → the .tflite file of one small classifier: [1, 16, 16, 3] pixels 0–255 → 5 probabilities.

    float32, float16, dynamic (int8 weights), and int8 with uint8 input and output, all by TensorFlow's
    converter.
    """
    with warnings.catch_warnings():
        # TensorFlow and Keras warn about deprecations of their own and NumPy's, when imported and converting.
        warnings.simplefilter("ignore")
        return _convert_tiny()


def _convert_tiny() -> dict[str, bytes]:
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    keras.utils.set_random_seed(7)
    model = keras.Sequential(
        [
            keras.layers.Input((16, 16, 3), batch_size=1),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(5, activation="softmax"),
        ]
    )
    signature = tf.TensorSpec((1, 16, 16, 3), tf.float32)
    function = tf.function(lambda image: model(image, training=False)).get_concrete_function(signature)
    function = convert_variables_to_constants_v2(function)
    pictures = np.random.default_rng(7).integers(0, 256, (8, 1, 16, 16, 3)).astype(np.float32)
    # Pure black and pure white, so that the input's scale is 1.
    pictures[0], pictures[1] = 0, 255

    def converter() -> tf.lite.TFLiteConverter:
        return tf.lite.TFLiteConverter.from_concrete_functions([function])

    float16, dynamic, int8 = converter(), converter(), converter()
    for quantized in (float16, dynamic, int8):
        quantized.optimizations = [tf.lite.Optimize.DEFAULT]
    float16.target_spec.supported_types = [tf.float16]
    int8.representative_dataset = lambda: ([picture] for picture in pictures)
    int8.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    int8.inference_input_type = int8.inference_output_type = tf.uint8
    schemes = {"float32": converter(), "float16": float16, "dynamic": dynamic, "int8": int8}
    return {scheme: bytes(one.convert()) for scheme, one in schemes.items()}
