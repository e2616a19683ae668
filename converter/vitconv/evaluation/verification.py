"""Does a file still answer as Keras does? Every file and Keras itself, on the same held-out images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from vitconv.checkpoints.answers import Accuracy, accuracy
from vitconv.classifiers.float_model import FloatModel
from vitconv.conversion import schemes
from vitconv.conversion.schemes import Scheme
from vitconv.data.datasets import Split
from vitconv.data.pictures.images import ImageSpec
from vitconv.evaluation import evidence
from vitconv.evaluation.confidence import FileConfidence, held_out
from vitconv.evaluation.evidence import Answers, Evidence
from vitconv.evaluation.layer_errors import IMAGES as LAYER_IMAGES
from vitconv.evaluation.layer_errors import LayerError, layer_errors, losses
from vitconv.evaluation.originals import open_dataset, open_original
from vitconv.evaluation.other_runtimes.android import AndroidVerification, runnable_abis, verify_android
from vitconv.evaluation.other_runtimes.gpu import GpuVerification, verify_gpu
from vitconv.evaluation.parity import FileVerification, compare
from vitconv.exporting import folder_check, manifest
from vitconv.exporting.manifest import Manifest
from vitconv.foundation.configs import check_types
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.foundation.intervals import wilson_interval
from vitconv.foundation.progress import Progress
from vitconv.quantization.output_steps import lost_answers
from vitconv.robustness import measuring
from vitconv.robustness.measuring import Robustness, Subject
from vitconv.runtimes.gpu.probe import find_driver
from vitconv.runtimes.litert import Runner
from vitconv.tflite import flatbuffer, metadata
from vitconv.tflite.graph import Graph

# Percentage points: no file can lose more.
_NO_LIMIT = 100.0


@dataclass(frozen=True)
class VerifyConfig:
    """What to verify. `limit` takes the first so many images of the evaluation split; `max_drop` (percentage
    points) replaces every scheme's own limit; `checkpoint` is where the manifest's has moved to; `android` and
    `gpu` have the golden images run through Android's own runtime and LiteRT's GPU accelerator, too; `layers` has
    every layer compared; `images` is a folder of pictures without classes in the place of a data set; `code` is
    the file with the classes of a Keras model, if it has such; `robustness` has bad pictures answered, made of
    `limit` images, or of `measuring.IMAGES` where that is None."""

    folder: Path
    dataset: str | None = None
    limit: int | None = None
    max_drop: float | None = None
    checkpoint: Path | None = None
    android: bool = False
    layers: bool = False
    gpu: bool = False
    images: Path | None = None
    code: Path | None = None
    robustness: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        if self.limit is not None and self.limit < 1:
            raise InputError(f"--limit must be at least 1 image, not {self.limit}.")
        if self.max_drop is not None and not 0 <= self.max_drop <= 100:
            raise InputError(f"--max-drop must be between 0 and 100 percentage points, not {self.max_drop}.")


@dataclass(frozen=True)
class Verification:
    """All files of an export folder. `dataset` names the data set and the split, `split_digest` is of its images.
    `checkpoint` is the SHA-256 of its weights. `folder_problems` are sentences about the folder's other files, see
    `folder_check.problems`: the verification has then failed. `chose_epoch`: the checkpoint's epoch was chosen on
    these images, so new ones will be a little harder. `labelled`: whether the pictures have
    classes; without them the model's own answers stand for them, and accuracy says how often a file agrees with
    it. `evidence` is what a report shows and the document leaves out."""

    dataset: str
    examples: int
    reference: Accuracy
    files: tuple[FileVerification, ...]
    android: AndroidVerification | None = None
    checkpoint: str = ""
    split_digest: str = ""
    evidence: Evidence | None = field(default=None, repr=False, compare=False)
    folder_problems: tuple[str, ...] = ()
    chose_epoch: bool = False
    labelled: bool = True
    gpu: GpuVerification | None = None
    robustness: Robustness | None = None
    confidence: tuple[FileConfidence, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no file is shown to break a limit, and the folder is as it was exported. See `doubtful`."""
        others = [runtime.passed for runtime in (self.android, self.gpu) if runtime]
        return all(others) and not self.folder_problems and all(file.passed for file in self.files)

    @property
    def doubtful(self) -> tuple[FileVerification, ...]:
        """The files of which these images cannot tell whether they keep their limits."""
        return tuple(file for file in self.files if file.verdict == "unsure")

    def to_json(self) -> dict[str, Any]:
        files = [{**file.to_json(), **self._intervals(file)} for file in self.files]
        return {
            "dataset": self.dataset,
            "examples": self.examples,
            "chose_epoch": self.chose_epoch,
            "reference": {**asdict(self.reference), **self._intervals(self.reference)},
            "files": files,
            "folder_problems": list(self.folder_problems),
            "passed": self.passed,
            **({} if self.labelled else {"labelled": False}),
            **(self.android.to_json() if self.android else {}),
            **(self.gpu.to_json() if self.gpu else {}),
            **({"robustness": self.robustness.to_json()} if self.robustness else {}),
            **({"confidence": [file.to_json() for file in self.confidence]} if self.confidence else {}),
        }

    def _intervals(self, measured: Accuracy | FileVerification) -> dict[str, list[float]]:
        """What holds the true accuracy, on all such images, in 95 % of cases."""
        return {
            f"{name}_interval": list(wilson_interval(getattr(measured, name), self.examples))
            for name in ("top1", "top5")
        }


def verify(config: VerifyConfig, progress: Progress | None = None) -> Verification:
    """Runs Keras and every file of the export folder on the data set's evaluation split and compares.

    A file fails that is shown to be further from Keras than its scheme's limits (see `judgement`), or than the one
    that it was exported for (`--max-drop`), or whose
    metadata name other classes or another image than the checkpoint's card; the folder fails where anything else
    in it is missing or was changed.
    Raises InputError, which names the file, for a model that is missing, changed since its export, or cannot be
    run.
    """
    document = manifest.read(config.folder)
    # What is missing is said before the work.
    abis, skipped = runnable_abis() if config.android else ((), {})
    driver = find_driver() if config.gpu else None
    checkpoint = open_original(config.folder, document, config.checkpoint, config.code)
    dataset = open_dataset(document, checkpoint, config.dataset, config.images, progress)
    described = {
        entry.path: tuple(_wrong_metadata(config.folder / entry.path, entry.sha256, checkpoint))
        for entry in document.files
    }
    split = dataset.split(dataset.evaluation_name, checkpoint.image, progress)
    count = min(config.limit or len(split), len(split))
    images, labels = split.images[:count], np.asarray(split.labels[:count])
    expected = checkpoint.predict(images, progress)
    if not dataset.labelled:
        labels = expected.argmax(axis=1)
    files: list[FileVerification] = []
    sure: list[FileConfidence] = []
    answers: dict[str, Answers] = {}
    for entry in document.files:
        scheme = schemes.find(entry.scheme)
        limits = scheme.limits if config.max_drop is None else replace(scheme.limits, max_drop=config.max_drop)
        if entry.search is not msgspec.UNSET and config.max_drop is None:
            limits = entry.search.limit.of_scheme(scheme, dataset.labelled)
        if not dataset.labelled:  # the model's own answers stand for them: what differs is counted once
            limits = replace(limits, max_drop=_NO_LIMIT)
        with Runner(config.folder / entry.path) as runner:
            actual = _file_probabilities(runner, images, f"verifying {scheme.name}", progress)
            step = runner.outputs[0].scale
        file = compare(entry.path, scheme.name, actual, expected, labels, limits)
        if dataset.labelled and entry.confidence is not msgspec.UNSET:
            sure.append(held_out(entry.path, scheme.name, entry.confidence, actual, labels, split.digest))
        lost = lost_answers(actual, expected, limits.min_agreement, step)
        layers = None
        if config.layers:
            layers = _layers(checkpoint, scheme, config.folder / entry.path, images, progress)
        reasons = (*described[entry.path], *file.reasons, *lost, *_layer_reasons(layers or (), scheme))
        files.append(replace(file, reasons=reasons, layers=layers, sha256=entry.sha256))
        furthest = evidence.disagreements(actual, expected, labels) if scheme.integer else ()
        answers[entry.path] = Answers(evidence.confusion(actual, labels), furthest)
    android = None
    if config.android:
        android = AndroidVerification(verify_android(config.folder, document, abis, progress), skipped)
    gpu = verify_gpu(config.folder, document, driver, progress) if driver else None
    robust = None
    if config.robustness:
        # Evenly spaced: a folder's pictures may come class by class.
        most = count if config.limit else min(count, measuring.IMAGES)
        chosen = np.arange(most, dtype=np.int64) * count // most
        known = labels[chosen] if dataset.labelled else None
        subjects = [Subject(config.folder / one.path, one.scheme, one.sha256) for one in document.files]
        robust = measuring.measure(checkpoint, subjects, images[chosen], known, chosen.tolist(), progress)
    shown = {one.index for file in answers.values() for one in file.disagreements}
    return Verification(
        _describe(dataset.name, split),
        count,
        accuracy(expected, labels),
        tuple(files),
        android,
        checkpoint.digest,
        split.digest,
        Evidence(Answers(evidence.confusion(expected, labels)), answers, evidence.thumbnails(images, shown)),
        (*folder_check.problems(config.folder, document), *_contradictions(document, checkpoint)),
        checkpoint.chose_epoch(split),
        dataset.labelled,
        gpu,
        robust,
        tuple(sure),
    )


def _layers(
    model: FloatModel, scheme: Scheme, path: Path, images: np.ndarray, progress: Progress | None
) -> tuple[LayerError, ...]:
    """Of the file at `path`, against the float graph of its scheme's form."""
    graph = model.layers_graph(scheme)
    what = f"comparing layers of {scheme.name}"
    return layer_errors(graph, Graph.read(path), images[:LAYER_IMAGES], what, progress)


def _layer_reasons(layers: tuple[LayerError, ...], scheme: Scheme) -> Iterator[str]:
    broken = [layer for layer in layers if layer.snr_db < scheme.limits.min_layer_snr_db]
    if broken:
        first = losses(layers)[0].layer
        yield (
            f"has {len(broken)} layers with a signal-to-noise ratio below {scheme.limits.min_layer_snr_db:g} dB; "
            f"most is lost in {first.layer} ({first.snr_db:.1f} dB)"
        )


def _contradictions(document: Manifest, model: FloatModel) -> Iterator[str]:
    """Between the manifest and the checkpoint that it names."""
    if document.labels != model.labels:
        yield f"{manifest.MANIFEST} names other classes than the checkpoint, or in another order"
    if document.image.spec != model.image:
        here, there = _described(document.image.spec), _described(model.image)
        yield f"{manifest.MANIFEST} has {here}, the checkpoint {there}"


def _wrong_metadata(path: Path, digest: str, model: FloatModel) -> Iterator[str]:
    """How a file's metadata contradict the checkpoint.

    Raises ModelFileError where it is not the file of the manifest.
    """
    if not path.is_file():
        raise ModelFileError(f"the manifest lists {path}, but the file is not in the folder. Export again.")
    data = flatbuffer.read(path)
    if hashlib.sha256(data).hexdigest() != digest:
        raise ModelFileError(
            f"{path} has changed since its export: its SHA-256 is not the manifest's. Export again."
        )
    try:
        found = metadata.read(Graph.parse(data, "the model"))
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    if found is None:
        yield "has no metadata"
        return
    if found.labels != model.labels:
        yield "has other classes in its metadata than the checkpoint, or the same in another order"
    if found.image != model.image:
        yield (
            f"takes pictures of {_described(found.image)} according to its metadata, but the checkpoint takes "
            f"{_described(model.image)}"
        )


def _described(image: ImageSpec) -> str:
    """In words: height × width and the rule that brings a picture to this size."""
    return f"{image.height}×{image.width} pixels (resized by {image.resize!r})"


def _file_probabilities(runner: Runner, images: np.ndarray, what: str, progress: Progress | None) -> np.ndarray:
    batch = 16
    answers = []
    for start in range(0, len(images), batch):
        if progress:
            progress(what, start, len(images))
        answers.append(runner.probabilities(images[start : start + batch]))
    if progress:
        progress(what, len(images), len(images))
    return np.concatenate(answers)


def _describe(name: str, split: Split) -> str:
    return f"{name} {split.name} ({split.source})"
