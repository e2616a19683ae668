"""What an export says of itself: the names of its files, their metadata, the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vitconv.checkpoints import checkpoint as checkpoints
from vitconv.classifiers.float_model import FloatModel
from vitconv.conversion import schemes
from vitconv.conversion.schemes import Scheme
from vitconv.data.datasets import Dataset
from vitconv.exporting import classes, golden, gpu, manifest
from vitconv.exporting.folder import Earlier
from vitconv.foundation.disk.file_names import safe_name
from vitconv.tflite.metadata import ModelMetadata


def model_name(model: FloatModel, dataset: str, scheme: Scheme) -> str:
    return f"{model.model}-{safe_name(dataset)}-{scheme.name}.tflite"


def names_of(
    model: FloatModel, dataset: str, wanted: Sequence[Scheme], out: Path, calibration: Path | None
) -> list[str]:
    """The files that will be written into `out`, by their path in the folder, but a `calibration` that is written
    as it was given."""
    names = [*(model_name(model, dataset, scheme) for scheme in wanted), manifest.LABELS, *golden.NAMES]
    given = calibration is not None and calibration.resolve()
    if any(scheme.needs_calibration for scheme in wanted) and given != (out / manifest.CALIBRATION).resolve():
        names.append(manifest.CALIBRATION)
    if model.folder is not None and (model.folder / checkpoints.HISTORY).is_file():
        names.append(manifest.HISTORY)
    if model.card is not None and classes.of_card(model.card) is not None:
        names.append(classes.FILE)
    if model.card is not None and model.card.liveness is not None:
        names.append(manifest.LIVENESS)
    return names


def describe(model: FloatModel, dataset: Dataset | None) -> dict[str, Any]:
    """The data set in the manifest: the checkpoint's own where no other was opened."""
    if dataset is not None:
        return {"name": dataset.name, "version": dataset.version}
    if model.card is None:
        return {"name": "unknown", "version": None}
    card = model.card.dataset
    return {"name": card["name"], "version": card.get("version")}


def metadata_of(model: FloatModel, dataset: str, scheme: Scheme, author: str, licence: str) -> ModelMetadata:
    """Of a scheme's file."""
    accuracy = model.card.results.get("val_accuracy") if model.card is not None else None
    measured = f" Keras's top-1 accuracy on its validation split: {accuracy:.1%}." if accuracy is not None else ""
    return ModelMetadata(
        name=f"{model.model} {dataset} {scheme.name}",
        description=(
            f"Classifies a picture into {len(model.labels)} classes of {dataset}. {scheme.weights} weights, "
            f"{'integer' if scheme.integer else 'float'} computation.{measured}"
        ),
        version=version("vitconv"),
        author=author,
        licence=licence,
        labels=model.labels,
        image=model.image,
    )


def manifest_of(
    model: FloatModel,
    dataset: Mapping[str, Any],
    staging: Path,
    files: list[dict[str, Any]],
    earlier: Earlier,
) -> dict[str, Any]:
    """The document, with the files in `staging` that are no models, and `files`. A file that an earlier export
    left stays, but one that a search has found, where another search has found another."""
    made = {entry["scheme"] for entry in files}
    searched = any("search" in entry for entry in files)
    kept = [
        entry for entry in earlier.files if entry["scheme"] not in made and not (searched and "search" in entry)
    ]
    order = list(schemes.SCHEMES)
    models = sorted([*kept, *files], key=lambda entry: order.index(entry["scheme"]))
    calibration: Mapping[str, Any] | None = None
    if (staging / manifest.CALIBRATION).exists():
        calibration = manifest.calibration_entry(staging)
    elif any(schemes.find(entry["scheme"]).needs_calibration for entry in kept):
        calibration = earlier.calibration
    return {
        "model": model.model,
        "checkpoint": {"name": model.name, "sha256": model.digest},
        "dataset": dict(dataset),
        "labels": list(model.labels),
        "image": model.image.to_json(),
        "versions": {
            name: version(name) for name in ("vitconv", "tensorflow", "keras", "ai-edge-litert", "tflite-support")
        },
        "calibration": calibration,
        "files": models,
        "gpu_file": gpu.choose(models),
        "golden": golden.FILE,
        "digests": manifest.digests_of(staging),
        **({} if model.told is None else {"told": dict(model.told), "rules": [dict(one) for one in model.rules]}),
    }
