"""What `scripts/zoo` and its part that runs beside keras-hub share: short trainings, and the ordinary conversion.

Imports nothing of vitconv, which is not in keras-hub's environment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 64
STEPS = 20  # after which the time is looked at
RATE = 1e-3  # of Adam, at the start; it falls to nothing along a cosine


def train(model: Any, images: np.ndarray, labels: np.ndarray, seconds: float, seed: int = 0) -> int:
    """Trains for so many seconds of the processor's time; returns the number of steps.

    images: float32 [N, H, W, 3] as the model takes them, shown mirrored every other time. labels: int [N].
    """
    import keras

    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # there are few steps
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=gives_logits(model))
    model.compile(keras.optimizers.Adam(RATE), loss)
    begin = time.process_time()

    class Budget(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            used = min((time.process_time() - begin) / seconds, 1)
            warm = min(1.0, 0.1 + used / 0.05)
            model.optimizer.learning_rate.assign(RATE * warm * (1 + np.cos(np.pi * used)) / 2)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if time.process_time() - begin > seconds:
                model.stop_training = True

    batches = _batches(images, labels, np.random.default_rng(seed))
    history = model.fit(batches, steps_per_epoch=STEPS, epochs=10_000, verbose=0, callbacks=[Budget()])
    return STEPS * len(history.epoch)


def gives_logits(model: Any) -> bool:
    """Whether the last layer has no softmax."""
    last = getattr(model.layers[-1], "activation", None)
    return last is None or last.__name__ == "linear"


def _batches(
    images: np.ndarray, labels: np.ndarray, random: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    while True:
        order = random.permutation(len(images))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            shown = images[chosen]
            mirrored = random.random(BATCH) < 0.5
            shown[mirrored] = shown[mirrored, :, ::-1]
            yield shown, labels[chosen]


def ordinary_int8(model: Any, calibration: np.ndarray) -> bytes:
    """What TensorFlow's own converter makes of a Keras model, as its guide for full integers has it: float where
    it must be, Flex where TFLite has no operator. calibration: float32 [N, H, W, 3] as the model takes them."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in calibration)
    sets = tf.lite.OpsSet
    converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS, sets.SELECT_TF_OPS]
    return bytes(converter.convert())


def keep(folder: Path, card: dict[str, Any]) -> None:
    """Writes a kept network's card, last of its files."""
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def card(folder: Path) -> dict[str, Any] | None:
    """The card of a kept network; None where it is not there or was not finished."""
    try:
        return dict(json.loads((folder / "card.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
