"""Keras's own settings, in the environment or keras.json, are overruled by the command and refused by the API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import shared

STRANGE = {"backend": "jax", "floatx": "float16", "image_data_format": "channels_first", "epsilon": 1e-7}


@shared.made_once
def python(code: str, keras_backend: str, settings: str | None = None) -> str:
    """What it prints in a process of its own. `settings`: what keras.json says; None where there is none."""
    with tempfile.TemporaryDirectory() as home:
        if settings is not None:
            (Path(home) / "keras.json").write_text(settings)
        path = os.pathsep.join(filter(None, sys.path))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "KERAS_HOME": home, "KERAS_BACKEND": keras_backend},
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SHOW = "import keras; print(keras.config.backend(), keras.config.floatx(), keras.config.image_data_format())"


@pytest.mark.parametrize("backend", ["jax", "nonsense"])
def test_a_command_sets_what_it_needs(backend: str) -> None:
    code = f"from vitconv.foundation.quiet import import_tensorflow; import_tensorflow(); {SHOW}"
    assert python(code, backend, json.dumps(STRANGE)) == "tensorflow float32 channels_last"


REQUIRE = """
import keras
from vitconv.foundation.keras_settings import require_keras
from vitconv.foundation.errors import InputError

def require():
    try:
        require_keras()
        print("fine")
    except InputError as error:
        print(error)
"""


def test_in_somebody_s_process_other_settings_are_refused_in_one_line() -> None:
    said = python(REQUIRE + "require()", "tensorflow", json.dumps(STRANGE))
    assert said.startswith(
        "Keras computes in float16 here, and vitconv needs float32. Call keras.config.set_floatx"
    )


def test_what_somebody_s_process_has_set_itself_is_refused_too() -> None:
    code = """
require()
keras.config.set_image_data_format("channels_first")
require()
keras.config.set_image_data_format("channels_last")
keras.config.set_dtype_policy("mixed_float16")
require()
keras.config.set_dtype_policy("float32")
require()
keras.config.backend = lambda: "jax"
require()
"""
    said = python(REQUIRE + code, "tensorflow").splitlines()
    assert (said[0], said[3]) == ("fine", "fine")
    assert said[1].startswith("Keras's image_data_format is channels_first")
    assert said[2].startswith("Keras computes in mixed_float16 here")
    assert said[4].startswith(
        "Keras computes with jax in this process, and vitconv needs TensorFlow. Start Python anew"
    )


def test_before_keras_is_imported_the_environment_s_backend_does_not_matter() -> None:
    code = REQUIRE.replace("import keras", "") + "require()"
    assert python(code, "jax") == "fine"
