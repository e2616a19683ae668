"""What several test modules share."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
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
    else:
        _take_own_cores(int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")))


def _take_own_cores(number: int) -> None:
    """This process and all that it starts use a share of the cores: threads of two processes on the same cores,
    which wait for each other busily, take ten times as long."""
    workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    if hasattr(os, "sched_setaffinity") and len(cores := sorted(os.sched_getaffinity(0))) >= workers:
        os.sched_setaffinity(0, cores[number::workers])


# What trains, converts or builds before a test can begin.
_DIGITS_FIXTURES = frozenset({"train_command", "export_command", "calibrate_command"})
_SLOW_FIXTURES = _DIGITS_FIXTURES | {"tiny_tflite", "tiny_keras", "pair", "tfds_folder"}
# Helpers whose users load TensorFlow and convert networks.
_SLOW_HELPERS = ("keras", "tensorflow", "converted", "parity", "reference", "shipped", "remembered")
# Files whose tests train, or start commands that load TensorFlow, without saying so by what they import.
_SLOW_FILES = (
    "classifiers/test_bad_files.py",
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


_LOADS_TENSORFLOW = (
    "keras",
    "tensorflow",
    "vitconv.models.layers",
    "vitconv.models.eanet",
    "vitconv.models.mobilevit",
    "reference.eanet_article",
    "reference.mobilevit_article",
    "reference.mobilevit_paper",
    "reference.zoo",
)


@cache
def _loading(path: Path) -> frozenset[str]:
    """The functions of a file that load TensorFlow: by an import of their own, or through another function or a
    fixture of the file that does. With "" among them, the file itself does."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    loading = {name for name, node in parts.items() if _imports_tensorflow(ast.walk(node))}
    if _imports_tensorflow(tree.body):
        loading.add("")
    uses = {
        name: {getattr(one, "id", None) or getattr(one, "arg", None) for one in ast.walk(node)}
        for name, node in parts.items()
    }
    while more := {name for name, used in uses.items() if used & loading} - loading:
        loading |= more
    return frozenset(loading)


def _imports_tensorflow(nodes: Iterable[ast.AST]) -> bool:
    modules: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return any(f"{module}.".startswith(f"{name}.") for module in modules for name in _LOADS_TENSORFLOW)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where slow tests are left out, a file that loads TensorFlow is not even imported: all its tests are slow."""
    if config.option.markexpr != "not slow" or not collection_path.name.startswith("test_"):
        return None
    slow = collection_path.as_posix().endswith(_SLOW_FILES) or "" in _loading(collection_path)
    return True if slow else None


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
        loads = {"", item.function.__name__, *item.fixturenames} & _loading(item.path)
        if by_file or loads or _SLOW_FIXTURES & set(item.fixturenames) or helpers & set(_SLOW_HELPERS):
            item.add_marker(pytest.mark.slow)
    # What needs the digits network comes last: scripts/test makes it beside the other tests.
    waiting = {item.path for item in items if _DIGITS_FIXTURES & set(getattr(item, "fixturenames", ()))}
    items.sort(key=lambda item: (item.path in waiting, _place_by_length(item.path)))


def _place_by_length(path: Path) -> int:
    ends = (place for place, name in enumerate(_LONGEST_FILES) if path.as_posix().endswith(name))
    return next(ends, len(_LONGEST_FILES))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """From the first slow test on, a checkpoint's answers, graphs and ranges are computed once for all tests."""
    if item.get_closest_marker("slow"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TensorFlow's and Keras's own, when they are imported
            import remembered

        remembered.begin()


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
def calibrate_command(own_cache: Path) -> tuple[Path, Ended]:
    """The calibration file of `digits_checkpoint`, and how the command ended."""
    return digits_model.calibrated()


@pytest.fixture(scope="session")
def tiny_keras(own_cache: Path) -> tuple[Path, tuple[object, ...]]:
    """A Keras file for digits that a command takes in a moment, and the options that say what it does not."""
    return digits_model.tiny_keras()


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
