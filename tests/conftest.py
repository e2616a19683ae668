"""What several test modules share."""

from __future__ import annotations

import json
import os
import shutil
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import commands
import digits_model
import shared
from commands import Call, Ended


def pytest_configure() -> None:
    """Before anything is imported or started: what tests and the commands that they start have in common."""
    # Ctrl-C is one of the things that tests send; a shell's background job and its children ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    shared.folder()  # named in the environment before another process asks
    if "PYTEST_XDIST_WORKER" not in os.environ:
        digits_model.forget_results()


# What trains, converts or builds before a test can begin.
_DIGITS_FIXTURES = frozenset({"train_command", "export_command"})
_SLOW_FIXTURES = _DIGITS_FIXTURES | {"tiny_tflite", "pair"}
# Helpers whose users load TensorFlow and convert networks.
_SLOW_HELPERS = ("keras", "tensorflow", "converted", "parity", "reference", "shipped")
# Files whose tests train, or start commands that load TensorFlow, without saying so by what they import.
_SLOW_FILES = (
    "foundation/test_keras_settings.py",
    "models/test_catalogue.py",
    "training/test_distribution.py",
    "training/test_process.py",
    "training/test_training.py",
)


# Files that take minutes, the longest first: one that begins last keeps one of two processes waiting.
_LONGEST_FILES = (
    "conversion/test_conversion.py",
    "checkpoints/test_pretrained.py",
    "runtimes/test_android_runtime.py",
    "training/test_distribution.py",
    "models/test_liveness.py",
    "training/test_batch_parts.py",
    "cli/test_cli.py",
    "training/test_training.py",
    "reporting/test_reporting.py",
    "cli/test_bad_inputs.py",
    "evaluation/test_verification.py",
    "exporting/test_exporting.py",
    "test_corruption.py",
    "exporting/test_coarse_answers.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as slow what `scripts/test --quick` leaves out: a test that needs TensorFlow, or a file so marked."""
    for item in items:
        assert isinstance(item, pytest.Function)
        used = {
            getattr(value, "__module__", None) or getattr(value, "__name__", "")
            for value in vars(item.module).values()
        }
        helpers = {str(name).partition(".")[0] for name in used}
        by_file = item.path.as_posix().endswith(_SLOW_FILES)
        if by_file or _SLOW_FIXTURES & set(item.fixturenames) or helpers & set(_SLOW_HELPERS):
            item.add_marker(pytest.mark.slow)
    # What needs the digits network comes last: scripts/test makes it beside the other tests.
    waiting = {item.path for item in items if _DIGITS_FIXTURES & set(getattr(item, "fixturenames", ()))}
    items.sort(key=lambda item: (item.path in waiting, _place_by_length(item.path)))


def _place_by_length(path: Path) -> int:
    ends = (place for place, name in enumerate(_LONGEST_FILES) if path.as_posix().endswith(name))
    return next(ends, len(_LONGEST_FILES))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prepared images go to a folder of this session, in the commands that tests start, too."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("VITCONV_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def train_command(own_cache: Path) -> Ended:
    """How `digits_model.trained` ended."""
    return digits_model.trained()


@pytest.fixture(scope="session")
def digits_checkpoint(train_command: Ended) -> Path:
    """A checkpoint folder, trained on digits until it can tell most of them apart. Not to be changed."""
    return Path(json.loads(train_command.out)["checkpoint"])


@pytest.fixture(scope="session")
def export_command(own_cache: Path) -> tuple[Path, Ended]:
    """The export folder of `digits_checkpoint` with every scheme, and how the command ended."""
    return digits_model.exported()


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


@shared.made_once
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
