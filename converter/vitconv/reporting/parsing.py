"""The document of `vitconv verify` → what a report works with, each value checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitconv.evaluation.evidence import Answer, Disagreement
from vitconv.evaluation.layer_errors import LayerError
from vitconv.foundation.errors import InputError
from vitconv.foundation.intervals import wilson_interval
from vitconv.reporting.findings import Reference, Verified


@dataclass(frozen=True)
class Verification:
    """results/verify.json: the reference, and of each file its name, its SHA-256 and its figures."""

    checkpoint: str
    reference: Reference
    files: tuple[tuple[str, str, Verified], ...]


@contextmanager
def of(path: Path, command: str) -> Iterator[None]:
    """Makes what is wrong inside the block an InputError with the file and the command that makes it anew."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{path} is not what this version keeps: {what}. Remove it, or run `{command}` again."
        ) from error


def verification(value: Mapping[str, Any], classes: int) -> Verification:
    examples = _whole(value["examples"])
    if examples < 1:
        raise ValueError("it is of no images")
    reference = value["reference"]
    top1 = _share(reference["top1"])
    limit = value["limit"]
    return Verification(
        str(value["checkpoint"]),
        Reference(
            dataset=str(value["dataset"]),
            split_digest=str(value["split_digest"]),
            examples=examples,
            top1=top1,
            top1_interval=wilson_interval(top1, examples),
            top5=_share(reference["top5"]),
            loss=_number(reference["loss"]),
            confusion=_confusion(reference.get("confusion"), classes),
            limit=None if limit is None else _whole(limit),
            max_drop=_perhaps(value["max_drop"]),
        ),
        tuple(
            (str(file["path"]), str(file["sha256"]), _verified(file, examples, classes)) for file in value["files"]
        ),
    )


def _verified(file: Mapping[str, Any], examples: int, classes: int) -> Verified:
    top1 = _share(file["top1"])
    if not isinstance(file["passed"], bool):
        raise TypeError("`passed` is neither true nor false")
    return Verified(
        top1=top1,
        top1_interval=wilson_interval(top1, examples),
        top5=_share(file["top5"]),
        top1_drop=_number(file["top1_drop"]),
        agreement=_share(file["agreement"]),
        max_abs_error=_number(file["max_abs_error"]),
        psnr_db=_perhaps(file["psnr_db"]),
        kl=_number(file["kl"]),
        passed=file["passed"],
        reasons=tuple(map(str, file["reasons"])),
        layers=tuple(map(_layer, file.get("layers") or ())),
        confusion=_confusion(file.get("confusion"), classes),
        disagreements=tuple(_disagreement(one) for one in file.get("disagreements") or ()),
    )


def _layer(value: Mapping[str, Any]) -> LayerError:
    return LayerError(
        str(value["layer"]),
        str(value["operator"]),
        _number(value["snr_db"]),
        _perhaps(value["lost_db"]),
        _perhaps(value["rms_steps"]),
        _perhaps(value["max_steps"]),
        _whole(value["place"]),
    )


def _confusion(triples: Any, classes: int) -> np.ndarray | None:
    if triples is None:
        return None
    counts = np.zeros((classes, classes), np.int64)
    for right, given, images in triples:
        if not (0 <= _whole(right) < classes and 0 <= _whole(given) < classes and _whole(images) >= 0):
            raise ValueError(f"the confusion matrix has an entry {[right, given, images]} of {classes} classes")
        counts[right, given] += images
    return counts


def _disagreement(value: Mapping[str, Any]) -> Disagreement:
    keras = _answer(value["keras"])
    if keras is None:
        raise ValueError("an image has no answer of Keras")
    return Disagreement(
        _whole(value["index"]), _whole(value["label"]), _number(value["distance"]), keras, _answer(value["file"])
    )


def _answer(value: Any) -> Answer | None:
    return None if value is None else Answer(_whole(value[0]), _number(value[1]))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _perhaps(value: Any) -> float | None:
    return None if value is None else _number(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is no whole number")
    return value


def _share(value: Any) -> float:
    if not 0 <= _number(value) <= 1:
        raise ValueError(f"{value!r} is no fraction")
    return float(value)
