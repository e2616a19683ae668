"""An export folder → `Export`. A result of other contents than the folder's is left out, and a note says so."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from vitconv.benchmarking import android_document, benchmark_document
from vitconv.benchmarking.android_document import FileCost
from vitconv.benchmarking.benchmark_document import FileTimes
from vitconv.checkpoints import liveness
from vitconv.evaluation import kept_results, reasons
from vitconv.evaluation.confidence import FileConfidence
from vitconv.evaluation.kept_results import GpuFileDocument, RobustnessDocument
from vitconv.exporting import classes, folder_check, manifest
from vitconv.exporting.classes import TrainedClass
from vitconv.exporting.manifest import InnerPath, Manifest
from vitconv.foundation.disk import files
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.quantization import calibration
from vitconv.quantization.calibration import Calibration
from vitconv.reporting import parsing
from vitconv.reporting.findings import Export, ModelFile, Reasons, Reference, Timing, Verified
from vitconv.tflite.inspection import inspect

_PNG = b"\x89PNG\r\n\x1a\n"
_LARGEST_PICTURE = 200_000  # bytes; verify writes a fifth of that


@dataclass
class _Found:
    """What has been read so far; results by the SHA-256 of the file that they are of."""

    notes: list[str] = field(default_factory=list)
    reference: Reference | None = None
    verified: dict[str, Verified] = field(default_factory=dict)
    desktop: dict[str, Timing] = field(default_factory=dict)
    machine: str | None = None
    runtime: str | None = None
    phones: dict[str, list[Timing]] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)
    android: dict[str, FileCost] = field(default_factory=dict)
    android_runtime: str | None = None
    gpu: dict[str, GpuFileDocument] = field(default_factory=dict)
    gpu_adapter: str | None = None
    robustness: RobustnessDocument | None = None
    reasons: dict[tuple[str, int], Reasons] = field(default_factory=dict)
    confidence: tuple[FileConfidence, ...] = ()


def read_export(folder: Path) -> Export:
    """Raises InputError where it is no export folder, or where one of its results is not what vitconv writes."""
    document = manifest.read(folder)
    models = [_model_file(folder, entry) for entry in document.files]
    found = _Found()
    known = {file.sha256: file.path for file in models}
    _read_verification(folder, document, known, found)
    _read_benchmarks(folder, known, found)
    _read_android(folder, known, found)
    _read_gpu(folder, known, found)
    _read_robustness(folder, document, known, found)
    _read_reasons(folder, document, found)
    changed = folder_check.problems(folder, document, for_app=True)
    others = [problem for problem in folder_check.problems(folder, document) if problem not in changed]
    found.notes += [f"{problem}. Export again." for problem in others]
    complete = tuple(
        replace(
            file,
            verified=found.verified.get(file.sha256),
            desktop=found.desktop.get(file.sha256),
            phones=tuple(found.phones.get(file.sha256, ())),
            android=found.android.get(file.sha256),
            gpu=found.gpu.get(file.sha256),
        )
        for file in models
    )
    shown = {one.index for file in found.verified.values() for one in file.disagreements}
    return Export(
        name=str(folder),
        manifest=document.to_json(),
        files=complete,
        reference=found.reference,
        machine=found.machine,
        runtime=found.runtime,
        phones=tuple(found.places),
        calibration=_calibration(folder, document),
        history=_history(folder / manifest.HISTORY),
        thumbnails={index: data for index in sorted(shown) if (data := _picture(folder, index))},
        notes=tuple(found.notes),
        changed=changed,
        liveness=liveness.read(folder / manifest.LIVENESS),
        classes=_classes(folder, document),
        android=found.android_runtime,
        gpu_adapter=found.gpu_adapter,
        robustness=found.robustness,
        reasons=found.reasons,
        confidence=found.confidence,
        searches=tuple(entry.search for entry in document.files if entry.search is not msgspec.UNSET),
    )


def _model_file(folder: Path, entry: manifest.ModelFile) -> ModelFile:
    path = folder / entry.path
    described = ModelFile(entry.path, entry.scheme, 0, "", entry.keep_float or (), None)
    if not path.is_file():
        return replace(
            described, problem="the manifest lists it, but the file is not in the folder. Export again."
        )
    try:
        inspection = inspect(path)
    except ModelFileError as error:
        return replace(described, problem=f"{error}")
    changed = inspection.sha256 != entry.sha256
    return replace(
        described,
        bytes=inspection.bytes,
        sha256=inspection.sha256,
        inspection=inspection,
        problem="it has changed since its export: its SHA-256 is not the manifest's. Export again."
        if changed
        else None,
    )


def _read_verification(folder: Path, document: Manifest, known: Mapping[str, str], found: _Found) -> None:
    verification = parsing.verification(folder, len(document.labels))
    if verification is None:
        return
    if verification.checkpoint != document.checkpoint.sha256:
        found.notes.append(
            f"{kept_results.VERIFY} is of another checkpoint and was left out. {_again('verify', folder)}"
        )
        return
    found.reference = verification.reference
    for name, digest, file in verification.files:
        if digest in known:
            found.verified[digest] = file
        else:
            found.notes.append(_stale(kept_results.VERIFY, name, _again("verify", folder)))
    same = {name for name, digest, _ in verification.files if digest in known}
    found.confidence = tuple(file for file in verification.confidence if file.path in same)


def _read_benchmarks(folder: Path, known: Mapping[str, str], found: _Found) -> None:
    here = folder / kept_results.BENCHMARK
    for path in (here, *sorted(folder.glob(kept_results.PHONES))):
        if not path.exists():
            continue
        again = f"vitconv benchmark {folder}{'' if path == here else ' --device'}"
        remedy = f"Remove it, or run `{again}` again."
        for benchmark in benchmark_document.read(path, remedy):
            used = False
            for times in benchmark.files:
                if times.sha256 is None:
                    raise InputError(f"{path} has times of {times.name} without the file's SHA-256. {remedy}")
                if times.sha256 not in known:
                    if times.name in known.values():  # others that lay in the folder are no part of the export
                        stale = _stale(f"{kept_results.FOLDER}/{path.name}", times.name, f"Run `{again}` again.")
                        found.notes.append(stale)
                    continue
                used = True
                if path == here:
                    found.desktop[times.sha256] = _timing(times, benchmark.machine)
                else:
                    found.phones.setdefault(times.sha256, []).append(_timing(times, benchmark.machine))
            if used and path == here:
                found.machine, found.runtime = benchmark.machine, benchmark.runtime
            elif used:
                found.places.append("; ".join(filter(None, (benchmark.machine, benchmark.runtime))))


def _read_android(folder: Path, known: Mapping[str, str], found: _Found) -> None:
    again = f"vitconv benchmark {folder} --runtime android"
    try:
        document = android_document.read(folder / kept_results.ANDROID, f"Remove it, or run `{again}` again.")
    except (FileNotFoundError, NotADirectoryError):
        return
    for cost in document.files:
        if cost.sha256 in known:
            found.android[cost.sha256] = cost
            found.android_runtime = f"{document.runtime}; x86_64 on {document.machine}"
        elif cost.path in known.values():
            found.notes.append(_stale(kept_results.ANDROID, cost.path, f"Run `{again}` again."))


def _read_gpu(folder: Path, known: Mapping[str, str], found: _Found) -> None:
    document = kept_results.read_gpu(folder)
    if document is None:
        return
    found.gpu_adapter = document.adapter
    for file in document.files:
        if file.sha256 in known:
            found.gpu[file.sha256] = file
        else:
            again = f"Run `vitconv verify {folder} --runtime gpu`."
            found.notes.append(_stale(kept_results.GPU, file.path, again))


def _read_robustness(folder: Path, document: Manifest, known: Mapping[str, str], found: _Found) -> None:
    kept = kept_results.read_robustness(folder)
    if kept is None:
        return
    again = f"Run `vitconv verify {folder} --robustness`."
    if kept.checkpoint != document.checkpoint.sha256:
        found.notes.append(f"{kept_results.ROBUSTNESS} is of another checkpoint and was left out. {again}")
        return
    files = tuple(file for file in kept.files if file.sha256 in known)
    found.notes += [
        _stale(kept_results.ROBUSTNESS, file.path, again) for file in kept.files if file.sha256 not in known
    ]
    found.robustness = msgspec.structs.replace(kept, files=files) if files else None


def _read_reasons(folder: Path, document: Manifest, found: _Found) -> None:
    """Those of images that the verification names: of others there is no picture."""
    kept = reasons.read_explanations(folder)
    if kept is None or found.reference is None:
        return
    if (kept.checkpoint, kept.split_digest) != (document.checkpoint.sha256, found.reference.split_digest):
        found.notes.append(
            f"{kept_results.EXPLANATIONS} is of another checkpoint or of other pictures and was left out. "
            f"{_again('explain', folder)}"
        )
        return
    for picture in kept.pictures:
        keras, *files = picture.reasons
        for file in files:
            if file.sha256 is not None:
                found.reasons[file.sha256, picture.index] = Reasons(picture.label, keras, file)


def _timing(times: FileTimes, place: str) -> Timing:
    return Timing(
        place=place,
        setting=f"{times.delegate}, {times.threads} thread{'s' if times.threads > 1 else ''}",
        ms=times.ms,
        init_ms=times.init_ms,
        memory_mb=times.peak_memory_mb,
        nodes=times.nodes,
        delegated_nodes=times.delegated_nodes,
        partitions=times.partitions,
        delegated=times.delegated,
        quantiles_ms=times.quantiles_ms or (),
        runs=times.runs,
    )


def _calibration(folder: Path, document: Manifest) -> Calibration | None:
    """None where it is missing or was changed, which `folder_check` says."""
    path = folder / manifest.CALIBRATION
    if document.calibration is None or not path.is_file() or files.sha256(path) != document.calibration.sha256:
        return None
    return calibration.read(path)


def _classes(folder: Path, document: Manifest) -> tuple[TrainedClass, ...] | None:
    """None where there is none, or another than the export wrote, which `folder_check` says."""
    digest, path = (document.digests or {}).get(InnerPath(classes.FILE)), folder / classes.FILE
    if digest is None or not path.is_file() or files.sha256(path) != digest:
        return None
    return classes.read(folder)


def _history(path: Path) -> tuple[dict[str, float], ...]:
    if not path.is_file():
        return ()
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = tuple({name: float(value) for name, value in row.items()} for row in csv.DictReader(stream))
        if not all(math.isfinite(row["epoch"]) for row in rows):
            raise ValueError("an epoch has no number")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, csv.Error) as error:
        raise InputError(f"{path} is no training history: {error}. Export again.") from error
    return rows


def _picture(folder: Path, index: int) -> bytes | None:
    try:
        data = (folder / kept_results.DISAGREEMENTS / f"{index}.png").read_bytes()
    except OSError:
        return None
    return data if data.startswith(_PNG) and len(data) <= _LARGEST_PICTURE else None


def _stale(path: str, name: str, again: str) -> str:
    return f"{path} has figures of {name}, whose contents have changed since. They were left out. {again}"


def _again(command: str, folder: Path) -> str:
    return f"Run `vitconv {command} {folder}` again."
