"""What `vitconv verify` and `vitconv benchmark` find, kept in the export folder, for `vitconv report`.

DIR/results/verify.json              the verification's document, with confusion and disagreements
DIR/results/disagreements/12.png     small copies of the images that these name, by their place in the split
DIR/results/benchmark.json           the benchmark's document, of this machine
DIR/results/benchmark-SERIAL.json    the same of a phone
DIR/results/gpu.json                 what the GPU makes of each file
DIR/results/robustness.json          how much accuracy is left on bad pictures
DIR/results/explanations.json        why Keras and integer files say what they say where they disagree
DIR/results/android.json             what the files cost in Android's library, in instructions

Each file's figures are kept with its SHA-256, because they hold for these contents only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from vitconv.evaluation.confidence import FileConfidence
from vitconv.evaluation.layer_errors import LayerError
from vitconv.exporting import manifest
from vitconv.foundation import documents
from vitconv.foundation.disk import files
from vitconv.foundation.disk.writing import writing
from vitconv.foundation.errors import InputError
from vitconv.robustness.measuring import Robust, RobustFile, Robustness

if TYPE_CHECKING:
    from vitconv.evaluation.verification import Verification, VerifyConfig

FOLDER = "results"
VERIFY = f"{FOLDER}/verify.json"
BENCHMARK = f"{FOLDER}/benchmark.json"
ANDROID = f"{FOLDER}/android.json"
GPU = f"{FOLDER}/gpu.json"
ROBUSTNESS = f"{FOLDER}/robustness.json"
EXPLANATIONS = f"{FOLDER}/explanations.json"
PHONES = f"{FOLDER}/benchmark-*.json"
DISAGREEMENTS = f"{FOLDER}/disagreements"

_WAIT_S = 30.0  # for another command's results, which are written in a moment

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
Matrix = tuple[tuple[Count, Count, Count], ...]  # right class, given class, images


class DisagreementDocument(msgspec.Struct, frozen=True):
    """An `evidence.Disagreement`: answers are a class and its probability."""

    index: Count
    label: Count
    distance: float
    keras: tuple[Count, float]
    file: tuple[Count, float] | None


class AccuracyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Keras's figures. Versions that kept no matrix of confusions have None."""

    top1: Share
    top5: Share
    loss: float
    confusion: Matrix | None = None


class FileDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A `FileVerification` and what was shown of it. What an earlier version did not keep is None."""

    path: str
    sha256: str
    top1: Share
    top5: Share
    top1_drop: float
    agreement: Share
    max_abs_error: float
    psnr_db: float | None
    kl: float
    passed: bool
    reasons: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    layers: tuple[LayerError, ...] | None = None
    confusion: Matrix | None = None
    disagreements: tuple[DisagreementDocument, ...] | None = None


class VerificationDocument(msgspec.Struct, frozen=True, kw_only=True):
    """results/verify.json, as far as a report reads it."""

    checkpoint: str
    split_digest: str
    dataset: str
    examples: Annotated[int, msgspec.Meta(ge=1, le=10**9)]
    chose_epoch: bool | None = None  # versions that did not look have none
    labelled: bool = True
    limit: Count | None
    max_drop: float | None
    reference: AccuracyDocument
    files: tuple[FileDocument, ...]
    confidence: tuple[FileConfidence, ...] = ()


class HalfDocument(msgspec.Struct, frozen=True):
    """A `half_precision.HalfPrecision`."""

    images: Count
    max_abs_error: float | None


class GpuFileDocument(msgspec.Struct, frozen=True):
    """A `gpu.GpuCheck`, and the SHA-256 of its file."""

    path: str
    sha256: str
    status: Literal["right", "partly", "refused", "failed"]
    images: Count
    max_abs_error: float | None
    reasons: tuple[str, ...]
    half: HalfDocument | None = None


class GpuDocument(msgspec.Struct, frozen=True):
    """results/gpu.json; `adapter` is what computed."""

    adapter: str
    files: tuple[GpuFileDocument, ...]


class RobustnessDocument(msgspec.Struct, frozen=True, kw_only=True):
    """results/robustness.json. `checkpoint`, `dataset` and `labelled` are as in a `VerificationDocument`."""

    checkpoint: str
    dataset: str
    labelled: bool
    examples: Annotated[int, msgspec.Meta(ge=1, le=10**9)]
    reference: Robust
    files: tuple[RobustFile, ...]

    @property
    def measured(self) -> Robustness:
        return Robustness(self.examples, self.reference, self.files)


def read_robustness(folder: Path) -> RobustnessDocument | None:
    """What was kept of an export folder's files on bad pictures; None where they were not tried. Raises
    InputError."""

    def build(value: Any) -> RobustnessDocument:
        document = documents.convert(value, RobustnessDocument)
        names = document.reference.top1.keys()
        for file in document.files:
            if not names or file.top1.keys() != names or file.agreement.keys() != names:
                raise InputError(f"{file.path} was given other bad pictures than Keras.")
        return document

    remedy = f"Remove it, or run `vitconv verify {folder} --robustness` again."
    return documents.read_if_there(folder / ROBUSTNESS, build, "result of robustness", remedy)


def read_gpu(folder: Path) -> GpuDocument | None:
    """What was kept of an export folder's files on the GPU; None where they were not tried. Raises InputError."""
    remedy = f"Remove it, or run `vitconv verify {folder} --runtime gpu` again."
    build = partial(documents.convert, structure=GpuDocument)
    return documents.read_if_there(folder / GPU, build, "result of the GPU", remedy)


def read_verification(folder: Path, classes: int) -> VerificationDocument | None:
    """What was kept of an export folder's verification; None where it was not verified.

    Raises InputError for a document that is none, or of another number of classes.
    """

    def build(value: Any) -> VerificationDocument:
        document = documents.convert(value, VerificationDocument)
        for matrix in (document.reference.confusion, *(file.confusion for file in document.files)):
            for entry in matrix or ():
                if max(entry[:2]) >= classes:
                    raise InputError(f"a confusion matrix has {list(entry)}, and there are {classes} classes.")
        return document

    remedy = f"Remove it, or run `vitconv verify {folder}` again."
    return documents.read_if_there(folder / VERIFY, build, "result of verification", remedy)


def keep_verification(config: VerifyConfig, result: Verification) -> None:
    """Raises OutputError where the folder cannot be written."""
    document = result.to_json()
    robustness = document.pop("robustness", None)
    limits = {"limit": config.limit, "max_drop": config.max_drop}
    document = {"checkpoint": result.checkpoint, "split_digest": result.split_digest, **limits, **document}
    if result.evidence:
        document["reference"]["confusion"] = result.evidence.reference.to_json()["confusion"]
        for file in document["files"]:
            file.update(result.evidence.files[file["path"]].to_json())
    for file in document["files"]:
        if "layers" in file:
            file["layers"] = [_rounded(layer) for layer in file["layers"]]
    with _results(config.folder):  # else the pictures may be of another verification than the document
        if result.evidence:
            with files.atomic_directory(config.folder / DISAGREEMENTS) as pictures:
                for index, data in result.evidence.thumbnails.items():
                    (pictures / f"{index}.png").write_bytes(data)
        _write(config.folder / VERIFY, document)
        if result.gpu:
            digests = {file.path: file.sha256 for file in result.files}
            checks = [{**check, "sha256": digests[check["path"]]} for check in result.gpu.to_json()["gpu"]]
            _write(config.folder / GPU, {"adapter": result.gpu.adapter, "files": checks})
        if robustness:
            about = {name: document[name] for name in ("checkpoint", "split_digest", "dataset")}
            _write(config.folder / ROBUSTNESS, {**about, "labelled": result.labelled, **robustness})


def keep_explanations(folder: Path, document: dict[str, Any]) -> None:
    """What `reasons.explain_export` found. Raises OutputError."""
    with _results(folder):
        _write(folder / EXPLANATIONS, document, "pictures")


def keep_benchmark(paths: tuple[Path, ...], document: dict[str, Any]) -> None:
    """A benchmark's document, into each of the paths that is an export folder.

    Raises OutputError where one cannot be written.
    """
    for folder, part in _by_folder(paths, document):
        with _results(folder):
            _write(folder / BENCHMARK, part)


def keep_phone_benchmark(paths: tuple[Path, ...], document: dict[str, Any]) -> None:
    """The same of a phone; what was measured before something failed counts."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", document["device"]["serial"])
    for folder, part in _by_folder(paths, document):
        with _results(folder):
            _write(folder / FOLDER / f"benchmark-{name}.json", part)


def keep_android(paths: tuple[Path, ...], document: dict[str, Any]) -> None:
    """The same of Android's library, with the sums of operators in the place of each one."""
    files = [
        {**file, "arm64": [{k: v for k, v in count.items() if k != "operators"} for count in file["arm64"]]}
        for file in document["files"]
    ]
    for folder, part in _by_folder(paths, {**document, "files": files}):
        with _results(folder):
            _write(folder / ANDROID, part)


def _results(folder: Path) -> AbstractContextManager[None]:
    """Has an export folder's results for this command alone."""
    return writing(files.writable_directory(folder / FOLDER), _WAIT_S)


def _by_folder(paths: tuple[Path, ...], document: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for folder in dict.fromkeys(paths):
        if not (folder / manifest.MANIFEST).is_file():
            continue
        inside = [
            {**file, "path": Path(file["path"]).name}
            for file in document["files"]
            if Path(file["path"]).parent == folder
        ]
        if inside:
            yield folder, {**document, "files": inside}


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}


def _write(path: Path, document: Any, listed_name: str = "files") -> None:
    """Compact JSON, with one line for each of the document's files, or what else it lists. A matrix with one
    number a line would be hard to read."""
    listed = document.pop(listed_name)
    head = "".join(f" {_json(name)}: {_json(value)},\n" for name, value in document.items())
    lines = ",\n".join(f"  {_json(file)}" for file in listed)
    files.write_text(path, f"{{\n{head} {_json(listed_name)}: [\n{lines}\n ]\n}}\n")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
