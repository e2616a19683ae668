"""Does a file still answer as Keras does? Every file and Keras itself, on the same held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vitconv import checkpoints, exporting, schemes
from vitconv.datasets import Progress, Split, open_dataset
from vitconv.errors import InputError, ModelFileError
from vitconv.files import sha256
from vitconv.runtime import Runner
from vitconv.schemes import Limits


@dataclass(frozen=True)
class VerifyConfig:
    """What to verify. `limit` takes the first so many images of the evaluation split; `max_drop` (percentage
    points) replaces every scheme's own limit; `checkpoint` is where the manifest's has moved to."""

    folder: Path
    dataset: str | None = None
    limit: int | None = None
    max_drop: float | None = None
    checkpoint: Path | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise InputError(f"--limit must be at least 1 image, not {self.limit}.")
        if self.max_drop is not None and not 0 <= self.max_drop <= 100:
            raise InputError(f"--max-drop must be between 0 and 100 percentage points, not {self.max_drop}.")


@dataclass(frozen=True)
class Accuracy:
    """Fractions of images whose true class is the most probable one, or among the five most probable, and the
    mean cross-entropy in nats."""

    top1: float
    top5: float
    loss: float


@dataclass(frozen=True)
class FileVerification:
    """One file against Keras on the same images.

    top1_drop: accuracy lost, in percentage points (negative: gained). agreement: fraction of images with the same
    first class. max_abs_error, mean_abs_error: of the probabilities. psnr_db: 10·log10(1 / mean squared error),
    None where the two are equal. kl: mean Kullback–Leibler divergence of the file's answer from Keras's, in nats.
    """

    path: str
    scheme: str
    top1: float
    top5: float
    top1_drop: float
    agreement: float
    max_abs_error: float
    mean_abs_error: float
    psnr_db: float | None
    kl: float
    passed: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Verification:
    """All files of an export folder. `dataset` names the data set and the split."""

    dataset: str
    examples: int
    reference: Accuracy
    files: tuple[FileVerification, ...]

    @property
    def passed(self) -> bool:
        """Whether every file stayed within its limits."""
        return all(file.passed for file in self.files)

    def to_json(self) -> dict[str, Any]:
        files = [{**asdict(file), "reasons": list(file.reasons)} for file in self.files]
        return {
            "dataset": self.dataset,
            "examples": self.examples,
            "reference": asdict(self.reference),
            "files": files,
            "passed": self.passed,
        }


def verify(config: VerifyConfig, progress: Progress | None = None) -> Verification:
    """Runs Keras and every file of the export folder on the data set's evaluation split and compares."""
    manifest = exporting.read_manifest(config.folder)
    checkpoint = checkpoints.open_checkpoint(config.checkpoint or Path(manifest["checkpoint"]["name"]))
    if checkpoint.card.weights["sha256"] != manifest["checkpoint"]["sha256"]:
        raise InputError(
            f"{config.folder} was not exported from {checkpoint.path} as it is now. "
            "Export again, or name the right folder with --checkpoint."
        )
    dataset = open_dataset(config.dataset or checkpoint.card.dataset["source"])
    exporting.check_labels(dataset, checkpoint)
    paths = [(schemes.find(entry["scheme"]), config.folder / entry["path"]) for entry in manifest["files"]]
    for entry, (_, path) in zip(manifest["files"], paths, strict=True):
        if not path.is_file():
            raise ModelFileError(f"{path} is in the manifest, but not in the folder. Export it again.")
        if sha256(path) != entry["sha256"]:
            raise ModelFileError(f"{path} is not the file of the manifest (another SHA-256). Export it again.")

    split = dataset.split(dataset.evaluation_name, checkpoint.card.image, progress)
    count = min(config.limit or len(split), len(split))
    images, labels = split.images[:count], np.asarray(split.labels[:count])
    expected = _keras_probabilities(checkpoint, images, progress)
    files = []
    for scheme, path in paths:
        limits = scheme.limits if config.max_drop is None else replace(scheme.limits, max_drop=config.max_drop)
        with Runner(path) as runner:
            actual = _file_probabilities(runner, images, f"verifying {scheme.name}", progress)
        files.append(compare(path.name, scheme.name, actual, expected, labels, limits))
    return Verification(_describe(dataset.name, split), count, accuracy(expected, labels), tuple(files))


def compare(
    path: str, scheme: str, actual: np.ndarray, expected: np.ndarray, labels: np.ndarray, limits: Limits
) -> FileVerification:
    """A file's probabilities against Keras's, both float [N, classes], labels int [N]."""
    if actual.shape != expected.shape:
        raise ModelFileError(f"{path} gives {actual.shape[-1]} classes, the checkpoint {expected.shape[-1]}.")
    mine, reference = accuracy(actual, labels), accuracy(expected, labels)
    error = np.abs(actual.astype(np.float64) - expected)
    mean_square = float(np.mean(error**2))
    floor = 1e-7
    p = np.clip(expected.astype(np.float64), floor, None)
    q = np.clip(actual.astype(np.float64), floor, None)
    result = FileVerification(
        path=path,
        scheme=scheme,
        top1=mine.top1,
        top5=mine.top5,
        top1_drop=100 * (reference.top1 - mine.top1),
        agreement=float(np.mean(actual.argmax(1) == expected.argmax(1))),
        max_abs_error=float(error.max()),
        mean_abs_error=float(error.mean()),
        psnr_db=float(-10 * np.log10(mean_square)) if mean_square > 0 else None,
        kl=float(np.mean(np.sum(p * np.log(p / q), axis=1))),
        passed=True,
        reasons=(),
    )
    reasons = tuple(_reasons(result, limits))
    return replace(result, passed=not reasons, reasons=reasons)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> Accuracy:
    """probabilities: float [N, classes]; labels: int [N]. With fewer than six classes top5 is 1."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    hits = order == labels[:, np.newaxis]
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return Accuracy(
        top1=float(hits[:, 0].mean()),
        top5=float(hits.any(axis=1).mean()),
        loss=float(-np.log(np.clip(chosen, 1e-7, None)).mean()),
    )


def _reasons(file: FileVerification, limits: Limits) -> Sequence[str]:
    reasons = []
    # A drop is a whole number of images; the margin only covers the rounding of 100 · k / N.
    if file.top1_drop > limits.max_drop + 1e-9:
        reasons.append(f"loses {file.top1_drop:.2f} points of top-1, more than {limits.max_drop:g}")
    if file.agreement < limits.min_agreement:
        reasons.append(f"agrees with Keras on {file.agreement:.1%}, less than {limits.min_agreement:.1%}")
    if not file.max_abs_error <= limits.max_error:
        reasons.append(f"is off by {file.max_abs_error:.2g} in a probability, more than {limits.max_error:g}")
    return reasons


def _keras_probabilities(
    checkpoint: checkpoints.Checkpoint, images: np.ndarray, progress: Progress | None
) -> np.ndarray:
    model = checkpoint.load()
    batch = 32
    answers = []
    for start in range(0, len(images), batch):
        if progress:
            progress("verifying: Keras", start, len(images))
        answers.append(model.predict_on_batch(images[start : start + batch].astype(np.float32)))
    if progress:
        progress("verifying: Keras", len(images), len(images))
    return np.concatenate(answers)


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
