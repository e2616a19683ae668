"""What a report knows of an export folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vitconv.benchmarking.android_document import FileCost, common_cpus
from vitconv.checkpoints.answers import what_chose
from vitconv.checkpoints.liveness import Liveness
from vitconv.conversion import schemes
from vitconv.evaluation.confidence import FileConfidence
from vitconv.evaluation.evidence import Disagreement
from vitconv.evaluation.kept_results import GpuFileDocument, RobustnessDocument
from vitconv.evaluation.layer_errors import LayerError
from vitconv.evaluation.parity import Verdict
from vitconv.evaluation.reasons import ReasonDocument
from vitconv.exporting.cheapest.limits import Search
from vitconv.exporting.classes import TrainedClass
from vitconv.quantization.calibration import Calibration
from vitconv.tflite.inspection import Inspection

Interval = tuple[float, float]

_SHOWN = 5  # labels in a sentence


@dataclass(frozen=True, eq=False)
class Verified:
    """One file's figures of results/verify.json, as `FileVerification` has them. confusion: int64 [classes,
    classes]; None where an older version kept none."""

    top1: float
    top1_interval: Interval
    top5: float
    top1_drop: float
    agreement: float
    max_abs_error: float
    psnr_db: float | None
    kl: float
    passed: bool
    reasons: tuple[str, ...]
    doubts: tuple[str, ...]
    layers: tuple[LayerError, ...]
    confusion: np.ndarray | None
    disagreements: tuple[Disagreement, ...]

    @property
    def verdict(self) -> Verdict:
        """As `FileVerification` has it."""
        return "failed" if not self.passed else "unsure" if self.doubts else "passed"


@dataclass(frozen=True)
class Timing:
    """One file's time in one setting; None stands for what was not kept. `ms` is the median, else the mean.
    quantiles_ms: the 0th, 5th … 100th percentile; empty where they were not kept. delegated: what a phone's
    delegate took, "all", "part" or "none", where that is known."""

    place: str
    setting: str
    ms: float
    init_ms: float | None
    memory_mb: float | None
    nodes: int | None
    delegated_nodes: int | None
    partitions: int | None
    delegated: str | None
    quantiles_ms: tuple[float, ...]
    runs: int | None


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A file of the manifest. `problem` says why nothing can be told of it, where it is missing or was changed;
    `keep_float` are the layers that a hybrid file keeps in float; `android` is what it costs in the library that
    Android apps ship; `gpu` is what `verify --runtime gpu` found."""

    path: str
    scheme: str
    bytes: int
    sha256: str
    keep_float: tuple[str, ...]
    inspection: Inspection | None
    problem: str | None = None
    verified: Verified | None = None
    desktop: Timing | None = None
    phones: tuple[Timing, ...] = ()
    android: FileCost | None = None
    gpu: GpuFileDocument | None = None

    @property
    def phone(self) -> Timing | None:
        """The fastest setting on a phone."""
        return min(self.phones, key=lambda timing: timing.ms, default=None)


@dataclass(frozen=True)
class Arm64Cost:
    """One file's instructions for one image on a processor; `relative` is that divided by float32's, None where
    there is none."""

    cpu: str
    instructions: int
    relative: float | None


@dataclass(frozen=True, eq=False)
class Reference:
    """Keras on the images that the files were verified on. `limit` and `max_drop` are verify's options.
    `chose_epoch`: the epoch was chosen on these images; None where an earlier version did not look.
    `labelled`: whether the images have classes."""

    dataset: str
    split_digest: str
    examples: int
    top1: float
    top1_interval: Interval
    top5: float
    loss: float
    confusion: np.ndarray | None
    limit: int | None
    max_drop: float | None
    chose_epoch: bool | None = None
    labelled: bool = True

    @property
    def images(self) -> str:
        """On which images accuracy is, in words."""
        if not self.labelled:
            return f"{self.dataset}, {self.examples} images without classes: Keras's own answers are the truth"
        chose = "" if self.chose_epoch is None else f", {what_chose(self.chose_epoch)}"
        return f"{self.dataset}, {self.examples} images{chose}"


@dataclass(frozen=True, eq=False)
class Reasons:
    """Why Keras and a file give the class `label` of an image its probability."""

    label: str
    keras: ReasonDocument
    file: ReasonDocument


@dataclass(frozen=True, eq=False)
class Export:
    """A folder. `name` is its path as it was given. thumbnails: PNG files by the image's index. notes: what was
    left out or changed since the export, and what to do. history: a row an epoch. liveness: which layers take part
    in Keras's answers. classes: what training saw of each, None where the export does not tell. changed: what is
    wrong with the labels and golden images, which an app takes along, a sentence each. android: the library and
    the machine that `ModelFile.android` is of. gpu_adapter: what `ModelFile.gpu` was computed by.
    robustness: accuracy on bad pictures, of those files that are as they were then.
    reasons: by a file's SHA-256 and an image's index. confidence: of files that have a temperature.
    searches: by which files were found for a limit."""

    name: str
    manifest: Mapping[str, Any]
    files: tuple[ModelFile, ...]
    reference: Reference | None
    machine: str | None
    runtime: str | None
    phones: tuple[str, ...]
    calibration: Calibration | None
    history: tuple[Mapping[str, float], ...]
    thumbnails: Mapping[int, bytes]
    notes: tuple[str, ...]
    changed: tuple[str, ...] = ()
    liveness: Liveness | None = None
    classes: tuple[TrainedClass, ...] | None = None
    android: str | None = None
    gpu_adapter: str | None = None
    robustness: RobustnessDocument | None = None
    reasons: Mapping[tuple[str, int], Reasons] = field(default_factory=dict)
    confidence: tuple[FileConfidence, ...] = ()
    searches: tuple[Search, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(map(str, self.manifest["labels"]))

    @property
    def title(self) -> str:
        return f"{self.manifest['model']} on {self.manifest['dataset']['name']}"

    def label(self, index: int) -> str:
        return self.labels[index] if 0 <= index < len(self.labels) else f"class {index}"

    def arm64(self, file: ModelFile) -> tuple[Arm64Cost, ...]:
        """By processor, the newest first; empty where nothing was counted."""
        if file.android is None:
            return ()
        found = []
        for cpu in common_cpus([file.android]):
            counts = file.android.on(cpu)
            base = self.exact.android.on(cpu) if self.exact and self.exact.android else None
            if counts:
                share = counts.instructions / base.instructions if base else None
                found.append(Arm64Cost(cpu, counts.instructions, share))
        return tuple(found)

    @property
    def exact(self) -> ModelFile | None:
        """The float32 file, which others are compared with."""
        return next((file for file in self.files if schemes.find(file.scheme).exact), None)

    def subject(self) -> ModelFile | None:
        """The file whose answers are shown beside Keras's: int8 where it was verified, else the last that was."""
        verified = [file for file in self.files if file.verified]
        return next(
            (file for file in verified if schemes.find(file.scheme).integers_only),
            verified[-1] if verified else None,
        )


def some(labels: Sequence[str]) -> str:
    """A few of the labels, and that there are more where there are."""
    shown = ", ".join(labels[:_SHOWN])
    return f"{shown} and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else shown
