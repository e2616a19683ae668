"""What several test modules share."""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import warnings
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

import commands
from commands import Call, Ended


def pytest_configure() -> None:
    """Before anything is imported or started: what tests and the commands that they start have in common."""
    # Ctrl-C is one of the things that tests send; a shell's background job and its children ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prepared images go to a folder of this session, in the commands that tests start, too."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("VITCONV_CACHE", str(folder))
        yield folder


def run_once(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str, name: str, *arguments: object
) -> tuple[Path, Ended]:
    """`vitconv ARGUMENTS --out FOLDER --json`, run by the first of pytest's processes that needs it.

    Returns the folder, and how the command ended."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / name
    folder.mkdir(exist_ok=True)
    kept = folder / "ended.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            ended = commands.run(*arguments, "--out", folder / "digits", "--json")
            kept.write_text(json.dumps(astuple(ended)), encoding="utf-8")
    ended = Ended(*json.loads(kept.read_text(encoding="utf-8")))
    assert ended.status == 0, ended.err
    return folder / "digits", ended


@pytest.fixture(scope="session")
def train_command(own_cache: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Ended:
    """`vitconv train --json` as it ended: MobileViT-XXS for 32×32 pixels, on digits.

    With a few steps less its normalisation layers have not seen enough, and it guesses. The first epoch, in which
    TensorFlow compiles, takes most of the time.
    """
    how = ("--dataset", "digits", "--image-size", 32, "--epochs", 8, "--batch-size", 16)
    return run_once(tmp_path_factory, worker_id, "trained", "train", "mobilevit_xxs", *how)[1]


@pytest.fixture(scope="session")
def digits_checkpoint(train_command: Ended) -> Path:
    """A checkpoint folder, trained on digits until it can tell most of them apart. Not to be changed."""
    return Path(json.loads(train_command.out)["checkpoint"])


@pytest.fixture(scope="session")
def export_command(
    digits_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> tuple[Path, Ended]:
    """`vitconv export --json` of `digits_checkpoint` with every scheme: the folder, and how the command ended."""
    return run_once(tmp_path_factory, worker_id, "exported", "export", digits_checkpoint, "--quant", "all")


@pytest.fixture(scope="session")
def exported_digits(export_command: tuple[Path, Ended]) -> Path:
    """The export folder of `digits_checkpoint` with every scheme. Not to be changed: see `digits_export`."""
    return export_command[0]


@pytest.fixture
def digits_export(exported_digits: Path, tmp_path: Path) -> Path:
    """A copy of `exported_digits` that a test may change, without what other tests' verify found of it."""
    return shutil.copytree(exported_digits, tmp_path / "export", ignore=shutil.ignore_patterns("results"))


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Calls the command line in this process: call("inspect", path) → how it ended."""
    return lambda *arguments: commands.call_here(capfd, *arguments)


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
