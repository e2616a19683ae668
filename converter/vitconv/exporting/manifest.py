"""manifest.json of an export folder: what is there, from which checkpoint, made by which versions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from vitconv.conversion import schemes
from vitconv.data.pictures.images import ImageDocument
from vitconv.exporting import classes, golden
from vitconv.exporting.cheapest.limits import Search
from vitconv.exporting.gpu import GpuEntry
from vitconv.foundation import documents
from vitconv.foundation.disk.file_names import FileName
from vitconv.foundation.disk.files import sha256
from vitconv.foundation.documents import Sha256
from vitconv.foundation.errors import InputError, UnknownNameError
from vitconv.tflite.confidence import Confidence

MANIFEST = "manifest.json"
CALIBRATION = "calibration.json"
LABELS = "labels.txt"
HISTORY = "training.csv"
LIVENESS = "liveness.json"


class InnerPath(str):
    """A file of the folder, or of its folder golden/. Raises ValueError for any other path."""

    __slots__ = ()

    def __new__(cls, path: str) -> InnerPath:
        FileName(path.removeprefix(f"{golden.FOLDER}/"))
        return super().__new__(cls, path)


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A .tflite file of the folder. `keep_float` and `sensitivity` tell what stays float in a hybrid one, `gpu`
    what GPUs do with it; earlier versions did not look. `confidence` is in its metadata, too, where that was asked
    for. `search` has the limit that it was found for, and how."""

    scheme: str
    path: FileName
    bytes: int
    sha256: Sha256
    keep_float: tuple[str, ...] | UnsetType = UNSET
    sensitivity: tuple[dict[str, Any], ...] | UnsetType = UNSET
    gpu: GpuEntry | UnsetType = UNSET
    confidence: Confidence | UnsetType = UNSET
    search: Search | UnsetType = UNSET

    def __post_init__(self) -> None:
        try:
            schemes.find(self.scheme)
        except UnknownNameError as error:
            raise ValueError(str(error)) from None
        if not self.path.endswith(".tflite"):
            raise ValueError(f"{self.path!r} is not the name of a .tflite file")


class Origin(msgspec.Struct, frozen=True):
    """The checkpoint. `name` is its path as it was given to the export (a relative one is relative to the folder
    that the export was started in), or the name of one that comes with vitconv; `sha256` is of its weights."""

    name: str
    sha256: Sha256


class DataSet(msgspec.Struct, frozen=True):
    """The data set that the export took its images from."""

    name: str
    version: str | None = None


class File(msgspec.Struct, frozen=True):
    """A file that is no model."""

    file: FileName
    sha256: Sha256


class Code(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Python file with a model's own classes, as it was named to the export."""

    file: str
    sha256: Sha256


class Pictures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data set, or the folder of pictures without classes, that the export was given: what opens it again."""

    source: str
    labelled: bool


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the owner of another tool's file said of it: see `classifiers.told.Card`."""

    pixels: str
    softmax: bool
    code: Code | None = None
    pictures: Pictures | None = None


class RuleEntry(msgspec.Struct, frozen=True):
    """A `conversion.rewriting.Applied`."""

    rule: str
    places: int
    error: float
    kept: bool


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole document. `digests` has the SHA-256 of every other file that the export wrote, by its path inside
    the folder; manifests of versions that kept none have no `digests`. `told` and `rules` are of files of other
    tools: what their owner said, and which rules rewrote their graphs. `gpu_file` is the path of the file that an
    app should run on the GPU, None where there is none; earlier versions have no `gpu_file`. It may be none of
    `files`, where somebody has taken that file out."""

    model: FileName
    checkpoint: Origin
    dataset: DataSet
    labels: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    image: ImageDocument
    versions: dict[str, str]
    calibration: File | None
    files: tuple[ModelFile, ...]
    golden: str
    digests: dict[InnerPath, Sha256] | UnsetType = UNSET
    told: Told | UnsetType = UNSET
    rules: tuple[RuleEntry, ...] | UnsetType = UNSET
    gpu_file: FileName | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError("it names no files")
        names = [file.path.casefold() for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError(f"it names {next(name for name in names if names.count(name) > 1)!r} twice")
        if self.golden != golden.FILE:
            raise ValueError(f"`golden` must be {golden.FILE!r}, not {self.golden!r}")

    def to_json(self) -> dict[str, Any]:
        """As read."""
        return dict(documents.to_json(self))


def read(folder: Path) -> Manifest:
    """The manifest of an export folder. Raises InputError where there is none or it is not one."""
    build = partial(documents.convert, structure=Manifest)
    try:
        return documents.read(folder / MANIFEST, build, "manifest", "Export again into another folder.")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{folder} is not an export folder: it has no {MANIFEST}. `vitconv export` makes one."
        ) from None


def file_entry(path: Path, scheme: str) -> dict[str, Any]:
    """How the manifest describes a .tflite file."""
    return {"scheme": scheme, "path": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def calibration_entry(folder: Path) -> dict[str, str]:
    """How the manifest describes the folder's calibration file."""
    return {"file": CALIBRATION, "sha256": sha256(folder / CALIBRATION)}


def digests_of(folder: Path) -> dict[str, str]:
    """The manifest's `digests` of what an export wrote: labels, history, liveness, classes, golden images."""
    written = [
        folder / LABELS,
        folder / HISTORY,
        folder / LIVENESS,
        folder / classes.FILE,
        *sorted((folder / golden.FOLDER).iterdir()),
    ]
    return {path.relative_to(folder).as_posix(): sha256(path) for path in written if path.is_file()}
