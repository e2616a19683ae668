"""A checkpoint → a folder of verified-ready .tflite files.

DIR/manifest.json                    what is here, from which checkpoint, made by which versions
DIR/MODEL-DATASET-SCHEME.tflite      one a scheme, with metadata
DIR/labels.txt, calibration.json     class names, one a line; the ranges that int8 was made from
DIR/golden/                          eight held-out images as PNG, golden.json with Keras's probabilities
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitconv import calibration as calibrations
from vitconv import checkpoints, conversion, metadata, schemes
from vitconv.calibration import Calibration, choose_images
from vitconv.checkpoints import Checkpoint
from vitconv.datasets import Dataset, Progress, open_dataset
from vitconv.errors import DatasetError, InputError, PromiseError
from vitconv.files import sha256, writable_directory, write_json, write_text
from vitconv.inspection import inspect_bytes
from vitconv.metadata import ModelMetadata
from vitconv.runtime import Runner
from vitconv.schemes import Scheme

if TYPE_CHECKING:
    import keras

MANIFEST = "manifest.json"
GOLDEN_IMAGES = 8


@dataclass(frozen=True)
class ExportConfig:
    """What to export. `dataset` None means the one the checkpoint was trained on; `calibration` is a file that
    `calibrate` wrote and, where given, makes calibration images unnecessary."""

    checkpoint: Path
    out: Path
    schemes: tuple[str, ...] = tuple(schemes.SCHEMES)
    dataset: str | None = None
    calibration: Path | None = None
    samples: int = calibrations.DEFAULT_SAMPLES
    author: str = "unknown"
    licence: str = "unknown"


@dataclass(frozen=True)
class ExportResult:
    """A finished export; `manifest` is manifest.json's content."""

    folder: Path
    manifest: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return dict(self.manifest)


@dataclass(frozen=True)
class CalibrateConfig:
    """What to calibrate; `dataset` None means the one the checkpoint was trained on."""

    checkpoint: Path
    out: Path
    dataset: str | None = None
    samples: int = calibrations.DEFAULT_SAMPLES
    seed: int = 0


def calibrate(config: CalibrateConfig, progress: Progress | None = None) -> Calibration:
    """Writes the calibration file of a checkpoint's integer graph, and returns what it holds."""
    checkpoint = checkpoints.open_checkpoint(config.checkpoint)
    dataset = _open_dataset(checkpoint, config.dataset)
    scheme = schemes.find("int8")
    graph = conversion.convert_float(checkpoint.load(), scheme)
    result = calibrations.calibrate(
        graph,
        checkpoint.card.weights["sha256"],
        dataset,
        checkpoint.card.image,
        config.samples,
        config.seed,
        progress,
    )
    result.save(config.out)
    return result


def export(config: ExportConfig, progress: Progress | None = None) -> ExportResult:
    """Writes the files of every scheme asked for, each checked against its promises, and the manifest last.

    Files of other schemes that an earlier export of the same checkpoint left in the folder stay in the manifest.
    Raises PromiseError where a file is not what its scheme promises; nothing is written then.
    """
    wanted = [schemes.find(name) for name in dict.fromkeys(config.schemes)]
    if not wanted:
        raise InputError("no scheme to export.")
    checkpoint = checkpoints.open_checkpoint(config.checkpoint)
    given = calibrations.read(config.calibration) if config.calibration else None
    dataset = _open_dataset(checkpoint, config.dataset)
    out = writable_directory(config.out)
    earlier = _earlier_files(out, checkpoint, wanted)

    staging = out / ".export.tmp"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir()
        model = checkpoint.load()
        stem = f"{checkpoint.card.model}-{dataset.name}"
        golden = _write_golden(staging / "golden", model, checkpoint, dataset, progress)
        used: Calibration | None = None
        files = []
        for done, scheme in enumerate(wanted):
            if progress:
                progress(f"exporting {scheme.name}", done, len(wanted))
            data = conversion.convert_float(model, scheme)
            if scheme.needs_calibration:
                used = given or calibrations.calibrate(
                    data,
                    checkpoint.card.weights["sha256"],
                    dataset,
                    checkpoint.card.image,
                    config.samples,
                    progress=progress,
                )
                _check_calibration(used, data, checkpoint)
                data = conversion.quantize(data, used.ranges)
            data = metadata.write(data, _metadata(config, checkpoint, dataset, scheme))
            path = staging / f"{stem}-{scheme.name}.tflite"
            path.write_bytes(data)
            scheme.check(inspect_bytes(data, path.name))
            _check_runs(path, scheme, staging / "golden")
            files.append(_file_entry(path, scheme.name))
        if progress:
            progress("exporting", len(wanted), len(wanted))
        write_text(staging / "labels.txt", "".join(f"{label}\n" for label in checkpoint.card.labels))
        if used:
            used.save(staging / "calibration.json")
        manifest = {
            "model": checkpoint.card.model,
            "checkpoint": {"name": str(checkpoint.path), "sha256": checkpoint.card.weights["sha256"]},
            "dataset": {"name": dataset.name, "version": dataset.version},
            "labels": list(checkpoint.card.labels),
            "image": checkpoint.card.image.to_json(),
            "versions": {
                name: version(name)
                for name in ("vitconv", "tensorflow", "keras", "ai-edge-litert", "tflite-support")
            },
            "calibration": _calibration_entry(staging, out),
            "files": sorted([*earlier, *files], key=lambda entry: list(schemes.SCHEMES).index(entry["scheme"])),
            "golden": golden,
        }
        _move_into_place(staging, out)
        write_json(out / MANIFEST, manifest)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return ExportResult(out, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an export folder. Raises InputError where there is none or it is not one."""
    file = folder / MANIFEST
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{folder} is not an export folder: it has no {MANIFEST}. `vitconv export` makes one."
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {file}: {error}.") from error
    wanted = {"model", "checkpoint", "dataset", "labels", "image", "files", "golden"}
    if not isinstance(value, dict) or not wanted <= set(value):
        raise InputError(f"{file} must be a JSON object with {', '.join(sorted(wanted))}.")
    try:
        for entry in value["files"]:
            schemes.find(entry["scheme"])
            if Path(entry["path"]).name != entry["path"]:
                raise ValueError(f"{entry['path']!r} is not the name of a file in this folder")
            str(entry["sha256"])
        str(value["checkpoint"]["name"]), str(value["checkpoint"]["sha256"]), str(value["dataset"]["name"])
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file} is not a manifest of this version: {error!r}.") from error
    return value


def _open_dataset(checkpoint: Checkpoint, name: str | None) -> Dataset:
    dataset = open_dataset(name or checkpoint.card.dataset["source"])
    check_labels(dataset, checkpoint)
    return dataset


def check_labels(dataset: Dataset, checkpoint: Checkpoint) -> None:
    """Raises DatasetError where the data set's classes are not the checkpoint's, in the same order."""
    ours, theirs = checkpoint.card.labels, dataset.labels
    if ours == theirs:
        return
    if len(ours) != len(theirs):
        what = f"{len(theirs)} classes, the checkpoint {len(ours)}"
    else:
        index = next(i for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
        what = f"{theirs[index]!r} as class {index}, the checkpoint {ours[index]!r}"
    raise DatasetError(
        f"the labels of {dataset.name} don't match those of {checkpoint.path}: the data set has {what}. "
        f"Give the data set that it was trained on ({checkpoint.card.dataset['name']})."
    )


def _earlier_files(out: Path, checkpoint: Checkpoint, wanted: list[Scheme]) -> list[dict[str, Any]]:
    """Entries of an earlier export of the same checkpoint that this one leaves as they are."""
    if not (out / MANIFEST).exists():
        return []
    manifest = read_manifest(out)
    if manifest["checkpoint"]["sha256"] != checkpoint.card.weights["sha256"]:
        raise InputError(f"{out} holds an export of another checkpoint. Give another --out, or remove it first.")
    replaced = {scheme.name for scheme in wanted}
    return [
        entry
        for entry in manifest["files"]
        if entry["scheme"] not in replaced
        and (out / entry["path"]).is_file()
        and sha256(out / entry["path"]) == entry["sha256"]
    ]


def _check_calibration(calibration: Calibration, graph: bytes, checkpoint: Checkpoint) -> None:
    if calibration.checkpoint != checkpoint.card.weights["sha256"]:
        raise InputError(
            f"the calibration file was made for another checkpoint than {checkpoint.path}. "
            "Make one with `vitconv calibrate`, or leave --calibration out."
        )
    if calibration.graph != hashlib.sha256(graph).hexdigest():
        raise InputError(
            "the calibration file was made for another graph of this checkpoint (another version of vitconv, "
            "TensorFlow or Keras). Make it anew with `vitconv calibrate`, or leave --calibration out."
        )


def _check_runs(path: Path, scheme: Scheme, golden: Path) -> None:
    """Loads the file as an app would and runs one image; float files must be XNNPACK's from end to end."""
    from PIL import Image

    with Runner(path) as runner:
        with Image.open(golden / "0.png") as picture:
            probabilities = runner.probabilities(np.asarray(picture)[np.newaxis])
        if not np.isfinite(probabilities).all() or abs(float(probabilities.sum()) - 1) > 0.05:
            raise PromiseError(f"{path.name} does not give probabilities: they sum to {probabilities.sum()}.")
        if scheme.name in ("float32", "float16") and runner.partitions != 1:
            raise PromiseError(f"XNNPACK takes {path.name} in {runner.partitions} partitions, not 1.")


def _metadata(config: ExportConfig, checkpoint: Checkpoint, dataset: Dataset, scheme: Scheme) -> ModelMetadata:
    card = checkpoint.card
    accuracy = card.results.get("val_accuracy")
    measured = f" Keras's top-1 accuracy on its validation split: {accuracy:.1%}." if accuracy is not None else ""
    return ModelMetadata(
        name=f"{card.model} {dataset.name} {scheme.name}",
        description=(
            f"Classifies a picture into {len(card.labels)} classes of {dataset.name}. {scheme.weights} weights, "
            f"{'integer' if scheme.integer else 'float'} computation.{measured}"
        ),
        version=version("vitconv"),
        author=config.author,
        licence=config.licence,
        labels=card.labels,
        image=card.image,
    )


def _write_golden(
    folder: Path, model: keras.Model, checkpoint: Checkpoint, dataset: Dataset, progress: Progress | None
) -> str:
    """Eight held-out images with Keras's answers. Returns the path in the export folder of golden.json."""
    from PIL import Image

    folder.mkdir()
    split = dataset.split(dataset.evaluation_name, checkpoint.card.image, progress)
    chosen = choose_images(split, GOLDEN_IMAGES, seed=0)
    images = split.images[list(chosen)]
    probabilities = np.asarray(model(images.astype(np.float32), training=False))
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")
    entries = [
        {
            "file": f"{number}.png",
            "label": int(split.labels[index]),
            "probabilities": [float(value) for value in probabilities[number]],
        }
        for number, index in enumerate(chosen)
    ]
    write_json(folder / "golden.json", {"split": split.source, "images": entries})
    return "golden/golden.json"


def _file_entry(path: Path, scheme: str) -> dict[str, Any]:
    return {"scheme": scheme, "path": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def _calibration_entry(staging: Path, out: Path) -> dict[str, str] | None:
    for folder in (staging, out):
        if (folder / "calibration.json").is_file():
            return {"file": "calibration.json", "sha256": sha256(folder / "calibration.json")}
    return None


def _move_into_place(staging: Path, out: Path) -> None:
    """Renames every file of `staging` to its place in `out`; one that is there already is replaced whole."""
    for source in sorted(staging.rglob("*")):
        target = out / source.relative_to(staging)
        if source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            source.replace(target)
