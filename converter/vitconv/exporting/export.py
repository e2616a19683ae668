"""A checkpoint → a folder of checked .tflite files.

DIR/manifest.json                    what is here, from which checkpoint, made by which versions
DIR/MODEL-DATASET-SCHEME.tflite      one a scheme, with metadata
DIR/labels.txt, calibration.json     class names, one a line; the ranges that integer files were made from
DIR/training.csv                     loss and accuracy of every epoch, where the checkpoint tells
DIR/golden/                          eight images as PNG, golden.json with Keras's probabilities
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from vitconv.checkpoints import checkpoint as checkpoints
from vitconv.checkpoints import pretrained
from vitconv.checkpoints.checkpoint import Checkpoint
from vitconv.checkpoints.trained_data import open_dataset_of
from vitconv.conversion import float_graph, schemes
from vitconv.conversion.schemes import Scheme
from vitconv.data.datasets import Dataset, is_here
from vitconv.exporting import golden, manifest
from vitconv.foundation.errors import InputError, OutputError, PromiseError
from vitconv.foundation.files import safe_name, sha256, writable_directory, write_json, write_text
from vitconv.foundation.progress import Progress
from vitconv.quantization import calibration as calibrations
from vitconv.quantization import integers, sensitivity
from vitconv.quantization.calibration import Calibration
from vitconv.runtimes.litert import Runner
from vitconv.tflite import metadata
from vitconv.tflite.inspection import inspect_bytes
from vitconv.tflite.metadata import ModelMetadata


@dataclass(frozen=True)
class ExportConfig:
    """What to export. `dataset` None means the one the checkpoint was trained on; `calibration` is a file that
    `calibrate` wrote and, where given, makes calibration images unnecessary. Where neither it nor `dataset` nor
    `samples` is given, the calibration file that comes with vitconv for these weights is taken, if there is one;
    `samples` None means DEFAULT_SAMPLES otherwise. `keep_float` are patterns of layer
    names (`block0.attention`, `stage2.*`) that stay float in int8-hybrid; None lets measurement decide."""

    checkpoint: Path
    out: Path
    schemes: tuple[str, ...] = tuple(schemes.SCHEMES)
    dataset: str | None = None
    calibration: Path | None = None
    keep_float: tuple[str, ...] | None = None
    samples: int | None = None
    author: str = "unknown"
    licence: str = "unknown"

    def __post_init__(self) -> None:
        if not self.schemes:
            raise InputError(f"no scheme to export. Known: {', '.join(schemes.SCHEMES)}.")
        for name in self.schemes:
            schemes.find(name)
        if self.samples is not None:
            calibrations.check_samples(self.samples)
        if self.keep_float is not None and "int8-hybrid" not in self.schemes:
            raise InputError("layers can be kept in float in int8-hybrid only. Add it to --quant.")


@dataclass(frozen=True)
class ExportResult:
    """A finished export; `manifest` is manifest.json's content. `calibration` is None where nothing was
    calibrated. `notes` say what a user should know of how it was made."""

    folder: Path
    manifest: Mapping[str, Any]
    calibration: Calibration | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return dict(self.manifest)


def export(config: ExportConfig, progress: Progress | None = None) -> ExportResult:
    """Writes the files of every scheme asked for, each checked against its promises, and the manifest last.

    Files of other schemes that an earlier export of the same checkpoint left in the folder stay in the manifest.
    Where no image of the data set is needed for calibration and it is not on this machine, the golden images are
    `golden.sample_photographs`.
    Raises PromiseError where a file is not what its scheme promises; nothing is written then.
    """
    checkpoint = checkpoints.open_checkpoint(config.checkpoint)
    wanted = [schemes.find(name) for name in dict.fromkeys(config.schemes)]
    calibration = _known_calibration(config, checkpoint)
    source = config.dataset or checkpoint.card.dataset["source"]
    images_needed = calibration is None and any(scheme.needs_calibration for scheme in wanted)
    dataset = None
    if config.dataset or images_needed or is_here(source):
        dataset = open_dataset_of(checkpoint, config.dataset)
    out = writable_directory(config.out)
    earlier = _Earlier.read(out, checkpoint)
    notes = []

    with _staging(out) as staging:
        model = checkpoint.load()
        if dataset is not None:
            pictures = golden.held_out(dataset.split(dataset.evaluation_name, checkpoint.card.image, progress))
        else:
            pictures = golden.sample_photographs(checkpoint.card.image)
            notes.append(
                f"the data set {source} is not on this machine: the golden images are cut out of scikit-learn's "
                "sample photographs."
            )
        golden.write(staging, model, pictures)
        graphs = float_graph.float_graphs(model, wanted, progress)
        calibrated = {scheme.name: graphs[scheme.name] for scheme in wanted if scheme.needs_calibration}
        if calibrated:
            if calibration is not None and config.calibration is None and not calibration.fits(calibrated):
                calibration = None  # the one that comes with vitconv was made with other versions of its libraries
            if calibration is None:
                dataset = dataset or open_dataset_of(checkpoint, config.dataset)
                samples = config.samples or calibrations.DEFAULT_SAMPLES
                calibration = calibrations.measure(calibrated, checkpoint, dataset, samples, progress=progress)
            if earlier.calibration:
                calibration = calibration.joined(calibrations.read(out / manifest.CALIBRATION))
            calibration.save(staging / manifest.CALIBRATION)
        described = _describe(checkpoint, dataset)
        files = []
        for done, scheme in enumerate(wanted):
            if progress:
                progress(f"exporting {scheme.name}", done, len(wanted))
            data, facts = graphs[scheme.name], {}
            if calibration is not None and scheme.needs_calibration:
                measured = calibration.of_graph(scheme.name, data)
                kept = measured.kept
                if scheme.hybrid and config.keep_float is not None:
                    kept = sensitivity.matching(data, config.keep_float)
                if kept is not None:
                    facts = {"keep_float": list(kept.layers), "sensitivity": [vars(unit) for unit in kept.units]}
                data = integers.quantize(data, measured.ranges, kept.tensors if kept else ())
            path = staging / f"{checkpoint.card.model}-{safe_name(described['name'])}-{scheme.name}.tflite"
            path.write_bytes(metadata.write(data, _metadata(config, checkpoint, described["name"], scheme)))
            scheme.check(inspect_bytes(path.read_bytes(), path.name))
            _check_runs(path, scheme, pictures.images[:1])
            files.append({**manifest.file_entry(path, scheme.name), **facts})
        if progress:
            progress("exporting", len(wanted), len(wanted))
        write_text(staging / manifest.LABELS, "".join(f"{label}\n" for label in checkpoint.card.labels))
        if (checkpoint.path / checkpoints.HISTORY).is_file():
            shutil.copyfile(checkpoint.path / checkpoints.HISTORY, staging / manifest.HISTORY)
        document = _manifest(checkpoint, described, staging, files, earlier)
        _move_into_place(staging, out)
        write_json(out / manifest.MANIFEST, document)
    for name in earlier.names - {entry["path"] for entry in document["files"]}:
        (out / name).unlink(missing_ok=True)
    return ExportResult(out, document, calibration if calibrated else None, tuple(notes))


def _known_calibration(config: ExportConfig, checkpoint: Checkpoint) -> Calibration | None:
    """Ranges that need no image: of the file given, or of the one that comes with vitconv for these weights."""
    if config.calibration:
        calibration = calibrations.read(config.calibration)
        calibration.check_checkpoint(checkpoint)
        return calibration
    if config.dataset or config.samples is not None:
        return None
    shipped = pretrained.calibration_file(checkpoint.card.weights["sha256"])
    return calibrations.read(shipped) if shipped else None


def _describe(checkpoint: Checkpoint, dataset: Dataset | None) -> dict[str, Any]:
    """The data set in the manifest: the checkpoint's own where no other was opened."""
    if dataset is not None:
        return {"name": dataset.name, "version": dataset.version}
    card = checkpoint.card.dataset
    return {"name": card["name"], "version": card.get("version")}


@dataclass(frozen=True)
class _Earlier:
    """What an earlier export of the same checkpoint left in the folder: files that are still whole, and the names
    of all it wrote."""

    files: tuple[Mapping[str, Any], ...] = ()
    calibration: Mapping[str, Any] | None = None
    names: frozenset[str] = frozenset()

    @classmethod
    def read(cls, out: Path, checkpoint: Checkpoint) -> _Earlier:
        if not (out / manifest.MANIFEST).exists():
            return cls()
        document = manifest.read(out)
        if document["checkpoint"]["sha256"] != checkpoint.card.weights["sha256"]:
            raise InputError(
                f"{out} holds an export of another checkpoint. Give another --out, or remove it first."
            )
        return cls(
            tuple(entry for entry in document["files"] if _is_whole(out / entry["path"], entry["sha256"])),
            document["calibration"],
            frozenset(entry["path"] for entry in document["files"]),
        )


def _is_whole(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path) == digest


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A folder inside `out` for what is not finished yet, gone when the block ends."""
    staging = out / ".export.tmp"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir()
        yield staging
    except OSError as error:
        raise OutputError(f"cannot write into {out}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_runs(path: Path, scheme: Scheme, picture: np.ndarray) -> None:
    """Loads the file as an app would and runs one image; float files must be XNNPACK's from end to end."""
    with Runner(path) as runner:
        (probabilities,) = runner.probabilities(picture)
        # Each of an integer file's probabilities may be rounded by half a step.
        rounding = len(probabilities) * (runner.outputs[0].scale or 0.0) / 2
        total = float(probabilities.sum())
        if not abs(total - 1) <= 0.05 + rounding:  # also where it is NaN
            raise PromiseError(f"{path.name} does not give probabilities: they sum to {total}.")
        if scheme.name in ("float32", "float16") and runner.partitions != 1:
            raise PromiseError(f"XNNPACK takes {path.name} in {runner.partitions} partitions, not 1.")


def _metadata(config: ExportConfig, checkpoint: Checkpoint, dataset: str, scheme: Scheme) -> ModelMetadata:
    card = checkpoint.card
    accuracy = card.results.get("val_accuracy")
    measured = f" Keras's top-1 accuracy on its validation split: {accuracy:.1%}." if accuracy is not None else ""
    return ModelMetadata(
        name=f"{card.model} {dataset} {scheme.name}",
        description=(
            f"Classifies a picture into {len(card.labels)} classes of {dataset}. {scheme.weights} weights, "
            f"{'integer' if scheme.integer else 'float'} computation.{measured}"
        ),
        version=version("vitconv"),
        author=config.author,
        licence=config.licence,
        labels=card.labels,
        image=card.image,
    )


def _manifest(
    checkpoint: Checkpoint,
    dataset: Mapping[str, Any],
    staging: Path,
    files: list[dict[str, Any]],
    earlier: _Earlier,
) -> dict[str, Any]:
    made = {entry["scheme"] for entry in files}
    kept = [entry for entry in earlier.files if entry["scheme"] not in made]
    order = list(schemes.SCHEMES)
    calibration: Mapping[str, Any] | None = None
    if (staging / manifest.CALIBRATION).exists():
        calibration = manifest.calibration_entry(staging)
    elif any(schemes.find(entry["scheme"]).needs_calibration for entry in kept):
        calibration = earlier.calibration
    return {
        "model": checkpoint.card.model,
        "checkpoint": {"name": checkpoint.name, "sha256": checkpoint.card.weights["sha256"]},
        "dataset": dict(dataset),
        "labels": list(checkpoint.card.labels),
        "image": checkpoint.card.image.to_json(),
        "versions": {
            name: version(name) for name in ("vitconv", "tensorflow", "keras", "ai-edge-litert", "tflite-support")
        },
        "calibration": calibration,
        "files": sorted([*kept, *files], key=lambda entry: order.index(entry["scheme"])),
        "golden": golden.FILE,
    }


def _move_into_place(staging: Path, out: Path) -> None:
    """Renames every file of `staging` to its place in `out`; one that is there already is replaced whole."""
    for source in sorted(staging.rglob("*")):
        target = out / source.relative_to(staging)
        if source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            source.replace(target)
