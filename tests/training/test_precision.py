"""Training in bfloat16: the gradients of float32 but for rounding, weights in float32, and as good an answer."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from vitconv.foundation.errors import InputError, UnknownNameError
from vitconv.models import catalogue, eanet
from vitconv.training import precision
from vitconv.training.train import TrainConfig, train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def loss_and_gradients(model: keras.Model, images: tf.Tensor, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """The gradients of all weights as one vector."""

    @tf.function  # type: ignore[untyped-decorator]
    def step() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            answers = model(images, training=True)
            assert answers.dtype == tf.float32
            loss = tf.reduce_mean(keras.losses.categorical_crossentropy(labels, answers))
        return loss, tape.gradient(loss, model.trainable_weights)

    loss, gradients = step()
    assert {gradient.dtype for gradient in gradients} == {tf.float32}
    return float(loss), np.concatenate([np.ravel(gradient) for gradient in gradients])


@pytest.mark.parametrize(
    ("name", "size"), [("eanet", 8), ("eanet_self_attention", 8), ("mobilevit_paper_xxs", 64)]
)
def test_gradients_are_those_of_float32_but_for_rounding(name: str, size: int) -> None:
    entry = catalogue.find(name)
    spec = entry.spec(size)
    keras.utils.set_random_seed(1)
    model = entry.build(spec, 10)
    for layer in model._flatten_layers():
        if hasattr(layer, "set_rate"):
            layer.set_rate(0.0)
    rng = np.random.default_rng(0)
    images = tf.constant(rng.uniform(0, 255, (8, *spec.shape)), tf.float32)
    labels = np.eye(10, dtype=np.float32)[rng.integers(10, size=8)]
    loss, exact = loss_and_gradients(model, images, labels)
    precision.compute_in_bfloat16(model)
    rounded_loss, rounded = loss_and_gradients(model, images, labels)
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    assert sum(layer.compute_dtype == "bfloat16" for layer in model.layers) == len(model.layers) - 4
    assert rounded_loss == pytest.approx(loss, rel=0.02)
    likeness = float(exact @ rounded / np.linalg.norm(exact) / np.linalg.norm(rounded))
    assert 0.95 < likeness < 0.99999999


def test_a_training_in_bfloat16_learns_as_much_and_says_what_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 360 pictures, one more or less right is 0.3 points; two trainings of float32 differ by 3."""
    monkeypatch.setattr(precision, "_CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text("flags : fpu avx2 avx512f\n")
    monkeypatch.setattr(eanet, "BLOCKS", 1)

    def config(name: str, **more: Any) -> TrainConfig:
        return TrainConfig(
            "eanet", "digits", tmp_path / name, 8, epochs=4, batch_size=32, learning_rate=0.004, **more
        )

    with caplog.at_level(logging.WARNING, "vitconv"):
        half = train(config("half", precision="bfloat16"))
    assert "no bfloat16 arithmetic" in caplog.text
    whole = train(config("whole"))
    accuracies = [run.checkpoint.card.results["val_accuracy"] for run in (half, whole)]
    assert min(accuracies) > 0.5
    assert abs(accuracies[0] - accuracies[1]) < 0.06
    assert half.checkpoint.card.recipe["precision"] == "bfloat16"
    assert {weight.dtype for weight in half.checkpoint.load().trainable_weights} == {"float32"}
    assert {layer.compute_dtype for layer in half.checkpoint.load().layers} == {"float32"}
    with pytest.raises(InputError, match="recipe precision was bfloat16, now float32"):
        train(config("half", resume=True))


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("fpu avx2 avx512f", False),
        ("avx512f avx512_bf16", True),
        ("amx_bf16 amx_tile", True),
        ("Features : asimd bf16 i8mm", True),
    ],
)
def test_a_processor_s_flags_say_whether_it_has_bfloat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, has: bool
) -> None:
    monkeypatch.setattr(precision, "_CPU_INFO", tmp_path / "cpuinfo")
    assert not precision.has_bfloat16()  # there is no such file
    (tmp_path / "cpuinfo").write_text(f"flags\t: {flags}\n")
    assert precision.has_bfloat16() == has


def test_an_unknown_precision_is_refused_with_those_there_are() -> None:
    config = TrainConfig("eanet", "digits", Path("out"), precision="float16")
    with pytest.raises(UnknownNameError, match="unknown precision 'float16'"):
        config.recipe_of(catalogue.find("eanet"))
