"""A batch computed in parts: the same answers and gradients, and only where nothing goes across a batch."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from built import built
from models.test_catalogue import PARAMETERS
from vitconv.models.catalogue import CATALOGUE, find
from vitconv.training.steps import batch_parts
from vitconv.training.steps.batch_parts import cut_batches, parts_of

ERROR = 1e-5  # of a gradient; sums in another order differ by 1e-7 of its largest number


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_catalogue_says_which_networks_compute_across_a_batch(name: str) -> None:
    assert find(name).batch_norm == built(name, 64, PARAMETERS[name][0]).batch_norm


@pytest.mark.parametrize(
    ("name", "recipe", "batch_size", "cores", "wanted"),
    [
        ("eanet", "article", 128, 2, 4),
        ("eanet", "article", 512, 2, 4),
        ("eanet", "article", 128, 4, 4),
        ("eanet", "article", 128, 5, 1),  # parts would leave a core without work
        ("eanet", "best", 64, 2, 2),
        ("eanet", "article", 63, 1, 1),
        ("eanet", "quantization_aware", 64, 2, 1),  # rounds between a batch's extremes
        ("mobilevit_xxs", "article", 128, 2, 1),
    ],
)
def test_a_batch_is_cut_where_that_gains_something(
    name: str, recipe: str, batch_size: int, cores: int, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_parts, "usable_cores", lambda: cores)
    entry = find(name)
    assert parts_of(entry, entry.find_recipe(recipe).changed(batch_size=batch_size)) == wanted


def test_parts_give_the_answers_and_gradients_of_the_whole_batch() -> None:
    entry = find("eanet")
    spec = entry.spec(8)
    model = entry.build(spec, 10)
    for layer in model._flatten_layers():
        if hasattr(layer, "set_rate"):
            layer.set_rate(0.0)  # other parts draw other numbers
    rng = np.random.default_rng(0)
    images = tf.constant(rng.uniform(0, 255, (7, *spec.shape)), tf.float32)  # 2, 2 and 3
    labels = np.eye(10, dtype=np.float32)[rng.integers(10, size=7)]

    @tf.function  # type: ignore[untyped-decorator]
    def step() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            answers = model(images, training=True)
            loss = tf.reduce_mean(keras.losses.categorical_crossentropy(labels, answers))
        return answers, tape.gradient(loss, model.trainable_weights)

    whole, whole_gradients = step()
    evaluated = model(images, training=False)
    cut_batches(model, 3)
    step = tf.function(step.python_function)
    cut, cut_gradients = step()
    assert np.abs(cut - whole).max() < ERROR
    assert np.abs(model(images, training=False) - evaluated).max() < ERROR
    for weight, ours, theirs in zip(model.trainable_weights, cut_gradients, whole_gradients, strict=True):
        assert np.abs(ours - theirs).max() <= ERROR * max(1.0, np.abs(theirs).max()), weight.path


def test_threads_are_set_for_parts_before_tensorflow_computes_and_left_alone_afterwards() -> None:
    # One process for each moment, but forked after TensorFlow is imported, which takes longest.
    program = """
import os, sys
from vitconv.training.steps.batch_parts import compute_side_by_side
import tensorflow as tf
for when in ("early", "late", "whole"):
    if os.fork() == 0:
        if when == "late":
            tf.constant(1.0) + 1.0
        compute_side_by_side(1 if when == "whole" else 2)
        tf.constant(1.0) + 1.0
        print(when, tf.config.threading.get_intra_op_parallelism_threads(), flush=True)
        os._exit(0)
    os.wait()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["early", "1", "late", "0", "whole", "0"]
