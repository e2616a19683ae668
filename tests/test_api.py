"""The public Python API: what `import vitconv` gives, and what it costs."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vitconv
from vitconv.quantization import calibration

STAGES = ("train", "calibrate", "export", "inspect", "verify", "benchmark", "report", "explain")


def test_every_public_name_is_there() -> None:
    for name in vitconv.__all__:
        assert getattr(vitconv, name) is not None
    assert set(vitconv.__all__) <= set(dir(vitconv))
    assert sorted(vitconv.__all__) == sorted(set(vitconv.__all__))
    assert vitconv.__version__


def test_the_names_for_type_checkers_and_for_run_time_are_the_same() -> None:
    tree = ast.parse(Path(vitconv.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = {
        alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imports == {name: f"vitconv.{home}" for name, home in vitconv._HOME_OF.items()}
    assert set(imports) == set(vitconv.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'vitconv' has no attribute 'tarin'"):
        _ = vitconv.tarin


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_a_documented_function(stage: str) -> None:
    function = getattr(vitconv, stage)
    assert inspect.isfunction(function)
    assert function.__doc__


@pytest.mark.parametrize("name", [name for name in vitconv.__all__ if name.endswith("Config")])
def test_a_configuration_is_frozen(name: str) -> None:
    config = getattr(vitconv, name)
    assert dataclasses.is_dataclass(config)
    assert config.__dataclass_params__.frozen


@pytest.mark.parametrize(
    "name", ["Benchmark", "Calibration", "ExportResult", "Inspection", "Report", "TrainResult", "Verification"]
)
def test_a_result_is_frozen_and_can_be_written_as_json(name: str) -> None:
    result = getattr(vitconv, name)
    assert result.__dataclass_params__.frozen
    assert callable(result.to_json)


def test_the_results_of_real_files_are_valid_json(exported_digits: Path) -> None:
    files = sorted(exported_digits.glob("*.tflite"))
    results: list[Any] = [
        vitconv.inspect(files[0]),
        vitconv.benchmark(vitconv.BenchmarkConfig((files[0],), runs=1, warmup=0)),
        vitconv.verify(vitconv.VerifyConfig(exported_digits, limit=2)),
        calibration.read(exported_digits / "calibration.json"),
    ]
    for result in results:
        document = result.to_json()
        assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_importing_vitconv_and_naming_all_it_has_does_not_import_tensorflow() -> None:
    code = (
        "import sys, vitconv\n"
        "early = {'numpy', 'tensorflow', 'keras'} & set(sys.modules)\n"
        "assert not early, early\n"
        "for name in vitconv.__all__: getattr(vitconv, name)\n"
        "late = {'tensorflow', 'keras', 'tensorflow_datasets', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not late, late\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(vitconv.__file__).parent / "py.typed").is_file()


def test_configs_take_paths_as_text_and_name_a_value_of_the_wrong_type() -> None:
    configs = {
        vitconv.CalibrateConfig: {"checkpoint": "run", "out": "ranges.json"},
        vitconv.ExportConfig: {"checkpoint": "run", "out": "export", "calibration": "ranges.json"},
        vitconv.VerifyConfig: {"folder": "export", "checkpoint": "run"},
        vitconv.BenchmarkConfig: {"paths": ["one.tflite", "two.tflite"]},
        vitconv.ReportConfig: {"folder": "export", "out": "page.html"},
        vitconv.TrainConfig: {"model": "eanet", "dataset": "digits", "out": "run"},
    }
    for config, given in configs.items():
        made = config(**given)
        for field, value in given.items():
            found = getattr(made, field)
            wanted = tuple(map(Path, value)) if isinstance(value, list) else value
            assert found in (wanted, Path(str(wanted)))
        first = next(field for field in given if field not in ("model", "dataset"))
        with pytest.raises(vitconv.VitconvError, match=f"{first} must be") as caught:
            config(**{**given, first: 3})
        assert caught.value.exit_status == 2
    with pytest.raises(vitconv.VitconvError, match="a checkpoint is a folder's path or a name, not 3"):
        vitconv.open_checkpoint(3)  # type: ignore[arg-type]
