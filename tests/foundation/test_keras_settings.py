"""Keras's own settings, in the environment or keras.json, are overruled by the command and refused by the API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def python(code: str, home: Path, **environment: str) -> str:
    """What it prints."""
    own = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "KERAS_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env={**own, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def strange_home(tmp_path: Path) -> Path:
    settings = {"backend": "jax", "floatx": "float16", "image_data_format": "channels_first", "epsilon": 1e-7}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    return tmp_path


SHOW = "import keras; print(keras.config.backend(), keras.config.floatx(), keras.config.image_data_format())"


@pytest.mark.parametrize("backend", ["jax", "torch", "openvino", "nonsense"])
def test_a_command_sets_what_it_needs(strange_home: Path, backend: str) -> None:
    code = f"from vitconv.foundation.quiet import import_tensorflow; import_tensorflow(); {SHOW}"
    assert python(code, strange_home, KERAS_BACKEND=backend) == "tensorflow float32 channels_last"


REQUIRE = """
from vitconv.foundation.keras_settings import require_keras
from vitconv.foundation.errors import InputError
try:
    require_keras()
    print("fine")
except InputError as error:
    print(error)
"""


def test_in_somebody_s_process_other_settings_are_refused_in_one_line(strange_home: Path, tmp_path: Path) -> None:
    said = python(REQUIRE, strange_home, KERAS_BACKEND="jax")
    assert said.startswith(
        "Keras computes in float16 here, and vitconv needs float32. Call keras.config.set_floatx"
    )
    first = "import keras; keras.config.set_image_data_format('channels_first')" + REQUIRE
    empty = tmp_path / "empty"
    empty.mkdir()
    assert python(first, empty, KERAS_BACKEND="tensorflow").startswith(
        "Keras's image_data_format is channels_first"
    )
    first = "import keras; keras.config.set_dtype_policy('mixed_float16')" + REQUIRE
    assert python(first, empty, KERAS_BACKEND="tensorflow").startswith("Keras computes in mixed_float16 here")
    first = "import keras; keras.config.backend = lambda: 'jax'" + REQUIRE
    said = python(first, empty, KERAS_BACKEND="tensorflow")
    assert said.startswith(
        "Keras computes with jax in this process, and vitconv needs TensorFlow. Start Python anew"
    )
    assert python(REQUIRE, empty, KERAS_BACKEND="jax") == "fine"
