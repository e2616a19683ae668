"""Trains MobileViT and EANet in Keras, exports them to TensorFlow Lite, and compares every file with Keras.

The stages of the command line as functions, each taking a frozen config and returning a frozen result whose
`to_json` is the command's document:

    result = vitconv.train(vitconv.TrainConfig("mobilevit_xxs", "tf_flowers", Path("runs/flowers")))
    vitconv.calibrate(vitconv.CalibrateConfig(result.checkpoint.path, Path("ranges.json")))
    vitconv.export(vitconv.ExportConfig(result.checkpoint.path, Path("export/flowers")))
    vitconv.verify(vitconv.VerifyConfig(Path("export/flowers"))).passed
    vitconv.report(vitconv.ReportConfig(Path("export/flowers"))).recommendation.sentence

A stage's module, and TensorFlow with it, is imported when its name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vitconv._version import __version__ as __version__

if TYPE_CHECKING:
    from vitconv.benchmarking.benchmark import Benchmark, BenchmarkConfig, benchmark
    from vitconv.checkpoints.checkpoint import Checkpoint, open_checkpoint
    from vitconv.data.pictures.images import ImageSpec
    from vitconv.evaluation.verification import Verification, VerifyConfig, verify
    from vitconv.explanation.explain import ExplainConfig, Explanations, explain
    from vitconv.exporting.export import ExportConfig, ExportResult, export
    from vitconv.foundation.errors import VitconvError
    from vitconv.quantization.calibration import CalibrateConfig, Calibration, calibrate
    from vitconv.reporting.report import Report, ReportConfig, report
    from vitconv.tflite.inspection import Inspection, inspect
    from vitconv.training.train import TrainConfig, TrainResult, train

_HOMES = {
    "benchmarking.benchmark": ("Benchmark", "BenchmarkConfig", "benchmark"),
    "quantization.calibration": ("CalibrateConfig", "Calibration", "calibrate"),
    "checkpoints.checkpoint": ("Checkpoint", "open_checkpoint"),
    "explanation.explain": ("ExplainConfig", "Explanations", "explain"),
    "foundation.errors": ("VitconvError",),
    "exporting.export": ("ExportConfig", "ExportResult", "export"),
    "data.pictures.images": ("ImageSpec",),
    "tflite.inspection": ("Inspection", "inspect"),
    "reporting.report": ("Report", "ReportConfig", "report"),
    "training.train": ("TrainConfig", "TrainResult", "train"),
    "evaluation.verification": ("Verification", "VerifyConfig", "verify"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Benchmark", "BenchmarkConfig", "CalibrateConfig", "Calibration", "Checkpoint", "ExplainConfig",
    "Explanations", "ExportConfig", "ExportResult", "ImageSpec", "Inspection", "Report", "ReportConfig",
    "TrainConfig", "TrainResult", "Verification", "VerifyConfig", "VitconvError", "benchmark", "calibrate",
    "explain", "export", "inspect", "open_checkpoint", "report", "train", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'vitconv' has no attribute {name!r}")
    return getattr(import_module(f"vitconv.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
