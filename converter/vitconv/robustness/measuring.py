"""Keras and every file on the same bad pictures: accuracy and agreement at each strength of each corruption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from vitconv.checkpoints.answers import answered
from vitconv.classifiers.float_model import FloatModel
from vitconv.foundation.cores import usable_cores
from vitconv.foundation.intervals import mean_interval
from vitconv.foundation.progress import Progress
from vitconv.robustness.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from vitconv.runtimes.litert import Runner

# Of which robustness is measured where nobody says how many: minutes for a network of 256 × 256 pixels and five
# files on two cores. Each is answered 70 times, so that few images tell much.
IMAGES = 50

_BATCH = 64  # pictures that are made worse and answered together

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Points = Annotated[float, msgspec.Meta(ge=-200, le=200)]
Curve = Annotated[tuple[Share, ...], msgspec.Meta(min_length=len(STRENGTHS), max_length=len(STRENGTHS))]
Curves = Mapping[str, Curve]  # corruption's name → a fraction at each strength


@dataclass(frozen=True)
class Robust:
    """Of Keras or of a file. clean: top-1 on the pictures as they are. top1: at each strength of each corruption.
    mean_top1: over all of these."""

    clean: Share
    top1: Curves

    @property
    def mean_top1(self) -> float:
        return _mean(self.top1)

    def at(self, strength: int) -> float:
        """The mean over all corruptions at a strength; 0 is the pictures as they are."""
        if strength == 0:
            return self.clean
        return float(np.mean([values[strength - 1] for values in self.top1.values()]))

    def to_json(self) -> dict[str, Any]:
        return {"clean": self.clean, "top1": _lists(self.top1), "mean_top1": self.mean_top1}


@dataclass(frozen=True)
class RobustFile(Robust):
    """agreement: fraction of pictures for which the file and Keras name the same class. extra_loss: percentage
    points of top-1 that the file loses from clean to bad pictures beyond what Keras loses; in 95 % of cases the
    interval holds what this is on all such images. sha256: of the file that was run."""

    path: str
    scheme: str
    sha256: str
    agreement: Curves
    extra_loss: Points
    extra_loss_interval: tuple[Points, Points]

    @property
    def mean_agreement(self) -> float:
        return _mean(self.agreement)

    @property
    def sentence(self) -> str:
        """Whether the file breaks earlier than Keras, as far as these images can tell."""
        if self.mean_agreement == 1:
            return f"{self.scheme} names the same classes as Keras on all bad pictures."
        low, high = self.extra_loss_interval
        verdict = "breaks earlier than Keras" if low > 0 else "breaks no earlier than Keras"
        if low <= 0 < high:
            verdict = "is not shown to break earlier than Keras"
        more = f"{abs(self.extra_loss):.2f} points {'more' if self.extra_loss >= 0 else 'fewer'}"
        return (
            f"{self.scheme} {verdict}: on bad pictures it loses {more} than Keras loses "
            f"(95 % interval {low:.2f} to {high:.2f})."
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "scheme": self.scheme,
            "sha256": self.sha256,
            **super().to_json(),
            "agreement": _lists(self.agreement),
            "mean_agreement": self.mean_agreement,
            "extra_loss": self.extra_loss,
            "extra_loss_interval": list(self.extra_loss_interval),
        }


@dataclass(frozen=True)
class Robustness:
    """`examples`: how many images, each made worse in every way at every strength."""

    examples: int
    reference: Robust
    files: tuple[RobustFile, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "examples": self.examples,
            "strengths": list(STRENGTHS),
            "reference": self.reference.to_json(),
            "files": [file.to_json() for file in self.files],
        }


@dataclass(frozen=True)
class Subject:
    """A file whose answers are wanted."""

    path: Path
    scheme: str
    sha256: str


def measure(
    model: FloatModel,
    subjects: Sequence[Subject],
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    indices: Sequence[int],
    progress: Progress | None = None,
) -> Robustness:
    """images: uint8 [N, H, W, 3] as the model takes them. labels: int [N]; None where nobody knows: Keras's
    answers to the clean pictures then stand for them. indices: the images' places in their split, from which
    chance is drawn. Raises what the model and the files raise."""
    what = "answering bad pictures"
    runs = [(None, 0), *((corruption, strength) for corruption in CORRUPTIONS for strength in STRENGTHS)]
    total = len(runs) * len(images)
    classes = np.empty((len(runs), 1 + len(subjects), len(images)), np.int64)
    with ExitStack() as stack:
        runners = [stack.enter_context(Runner(subject.path)) for subject in subjects]
        pool = stack.enter_context(ThreadPoolExecutor(usable_cores()))
        stack.callback(_end, runners)  # else the pool would wait for all answers after Ctrl-C
        for number, (corruption, strength) in enumerate(runs):
            for start in range(0, len(images), _BATCH):
                batch = slice(start, start + _BATCH)
                if progress:
                    progress(what, number * len(images) + start, total)
                shown = images[batch]
                if corruption is not None:
                    shown = corrupt(shown, indices[batch], corruption, strength)
                # Each file has a process of its own; threads wait for them.
                waiting = [pool.submit(runner.probabilities, shown) for runner in runners]
                given = [model.predict(shown), *(one.result() for one in waiting)]
                classes[number, :, batch] = [_named(probabilities) for probabilities in given]
    if progress:
        progress(what, total, total)
    truth = classes[0, 0] if labels is None else labels
    return _summarised(classes, truth, subjects)


def _end(runners: Sequence[Runner]) -> None:
    for runner in runners:
        runner.kill()


def _named(probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class of each picture; -1, which is no class, where an answer is NaN or infinite."""
    return np.where(answered(probabilities), probabilities.argmax(axis=1), -1)


def _summarised(classes: NDArray[np.int64], truth: NDArray[np.int64], subjects: Sequence[Subject]) -> Robustness:
    """classes: int64 [1 + corruptions · strengths, 1 + files, N]; Keras is the first of the second axis."""
    right = classes == truth  # [runs, models, N]
    agreeing = (classes == classes[:, :1]) & (classes >= 0)
    lost = right[0] - right[1:].mean(axis=0)  # of each model and image: share of its bad pictures, [models, N]
    files = []
    for number, subject in enumerate(subjects, start=1):
        extra = 100 * (lost[number] - lost[0])
        files.append(
            RobustFile(
                clean=float(right[0, number].mean()),
                top1=_curves(right[1:, number]),
                path=subject.path.name,
                scheme=subject.scheme,
                sha256=subject.sha256,
                agreement=_curves(agreeing[1:, number]),
                extra_loss=round(float(extra.mean()), 9) + 0.0,  # no −0.0, and no 10⁻¹⁷
                # The images are independent, the 70 answers to each are not.
                extra_loss_interval=mean_interval(extra, limits=(-200.0, 200.0)),
            )
        )
    reference = Robust(float(right[0, 0].mean()), _curves(right[1:, 0]))
    return Robustness(classes.shape[2], reference, tuple(files))


def _curves(hits: NDArray[np.bool_]) -> Curves:
    """bool [corruptions · strengths, N]"""
    shares = hits.mean(axis=1).reshape(len(CORRUPTIONS), len(STRENGTHS))
    return {one.name: tuple(map(float, values)) for one, values in zip(CORRUPTIONS, shares, strict=True)}


def _mean(curves: Curves) -> float:
    return float(np.mean([*curves.values()]))


def _lists(curves: Curves) -> dict[str, list[float]]:
    return {name: list(values) for name, values in curves.items()}
