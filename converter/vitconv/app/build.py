"""The Android demo app with models in it: stages export folders as the app's assets and runs its Maven build.

models/index.json             the names of the folders beside it
models/MODEL-DATASET/         of each export: the .tflite files, labels.txt, golden/, and of manifest.json what
                              the app needs, with the limits that its self-test holds each file to, and which
                              file is for GPUs
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import msgspec

from vitconv.app import maven, tools
from vitconv.conversion import schemes
from vitconv.exporting import folder_check, golden, gpu, manifest
from vitconv.exporting.manifest import Manifest
from vitconv.foundation.disk.file_names import FileName, safe_name
from vitconv.foundation.disk.files import atomic_directory, sha256, writable_directory, write_json
from vitconv.foundation.disk.writing import writing
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.foundation.judgement import fewest_agreeing
from vitconv.foundation.progress import Progress

KEYSTORE = "VITCONV_KEYSTORE"  # the variable that names a key of the user's own; BuildApks.java reads it
_SIGNING = (KEYSTORE, "VITCONV_KEYSTORE_PASSWORD", "VITCONV_KEY_ALIAS")
RUNTIMES = ("litert", "tflite")
APPLICATION_ID = "org.vitconv.demo"
_LARGEST_VERSION_CODE = 2_100_000_000  # Google Play's limit
# Android's rule: two parts or more, each a letter and then letters, digits or underscores.
_APPLICATION_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+")


@dataclass(frozen=True)
class BuildConfig:
    """`exports` are export folders; `schemes` limits what is bundled of each, None means all there is.

    `application_id` and `version_code` are what a store tells apps and versions apart by. `bundle` makes an app
    bundle as well. `runtime` is one of RUNTIMES; None means LiteRT where Maven can fetch it, else TensorFlow Lite.
    Raises InputError for values that Android or Google Play do not take, and for a bundle without a key of the
    user's own.
    """

    exports: tuple[Path, ...]
    schemes: tuple[str, ...] | None = None
    application_id: str = APPLICATION_ID
    version_code: int = 1
    bundle: bool = False
    runtime: str | None = None

    def __post_init__(self) -> None:
        for name in self.schemes or ():
            schemes.find(name)
        if not _APPLICATION_ID.fullmatch(self.application_id):
            raise InputError(
                f"{self.application_id!r} is no application ID. It has two parts or more with points between "
                "them, each a letter followed by letters, digits or underscores: com.example.flowers."
            )
        if not 1 <= self.version_code <= _LARGEST_VERSION_CODE:
            raise InputError(
                f"the version code must be 1 to {_LARGEST_VERSION_CODE}, which is Google Play's limit, "
                f"not {self.version_code}."
            )
        if self.runtime is not None and self.runtime not in RUNTIMES:
            raise InputError(f"the runtime must be one of {', '.join(RUNTIMES)}, not {self.runtime!r}.")
        missing = [name for name in _SIGNING if not os.environ.get(name)]
        if self.bundle and missing:
            raise InputError(
                f"an app bundle is for a store, which takes no debug key: set {', '.join(missing)} for a key of "
                "your own."
            )


@dataclass(frozen=True)
class Package:
    """A built APK. `parts` is what it holds, in bytes as stored: models, native libraries, code, resources."""

    variant: str
    path: Path
    bytes: int
    parts: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        return {
            "variant": self.variant,
            "path": str(self.path),
            "bytes": self.bytes,
            "parts": dict(self.parts),
        }


@dataclass(frozen=True)
class BuildResult:
    """`models` are the names of the bundled files. With Android's `debug_key` no store takes the release.

    `runtime` is one of RUNTIMES; Google Play takes no package with "tflite". `bundle` is the app bundle, if one
    was asked for.
    """

    models: tuple[str, ...]
    packages: tuple[Package, ...]
    debug_key: bool
    runtime: str
    bundle: Path | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "models": list(self.models),
            "packages": [package.to_json() for package in self.packages],
            "debug_key": self.debug_key,
            "runtime": self.runtime,
            "bundle": str(self.bundle) if self.bundle else None,
        }


def build(config: BuildConfig, progress: Progress | None = None) -> BuildResult:
    """Builds, signs and checks the app, in a release and a debug variant.

    The release key is VITCONV_KEYSTORE's, with VITCONV_KEYSTORE_PASSWORD and VITCONV_KEY_ALIAS; Android's debug
    key where that is not set. Raises MissingToolError without Maven or a JDK of at least 17, InputError for
    folders that are no exports, CheckError where the build fails; what it said is in android-app/target/build.log.
    """
    source = tools.find_source()
    program = maven.find()
    target = writable_directory(source / "target")
    staged = target / "models"
    with writing(target):
        models = stage(config.exports, staged, config.schemes)
        built = tools.built_apks()
        runtime = config.runtime or maven.best_runtime(program, source, target / "runtime.log", progress)
        command = [program, f"--file={source / 'pom.xml'}", "verify"]
        command += ["-DskipUnitTests", f"-Dmodels={staged.resolve()}", f"-Druntime={runtime}"]
        command += [f"-Dapplication.id={config.application_id}", f"-Dversion.code={config.version_code}"]
        command += ["-Dbundle=true"] if config.bundle else []
        # What was built before stays until this build has passed its checks.
        with atomic_directory(built) as fresh:
            maven.run([*command, f"-Dapks={fresh.resolve()}"], target / "build.log", progress)
        packages = tuple(_package(name, built) for name in ("release", "debug"))
        bundle = built / "vitconv-demo-release.aab" if config.bundle else None
        return BuildResult(models, packages, KEYSTORE not in os.environ, runtime, bundle)


def stage(exports: tuple[Path, ...], out: Path, wanted: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Makes `out` a folder that holds models/ as the app takes them; returns the names of the .tflite files.

    Raises InputError where a folder is no export, holds none of the schemes wanted, or two hold the same model of
    the same data set; ModelFileError where a file is not the one that the manifest names.
    """
    documents = [(folder, manifest.read(folder)) for folder in exports]
    names = [_name(document) for _, document in documents]
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(f"{count} of the folders are exports of {name}. Give one of them.")
    with atomic_directory(out) as temporary:
        files = []
        for name, (folder, document) in zip(names, documents, strict=True):
            files += _stage_one(folder, document, temporary / "models" / name, wanted)
        (temporary / "models").mkdir(exist_ok=True)
        write_json(temporary / "models" / "index.json", sorted(names))
    return tuple(files)


def _name(document: Manifest) -> str:
    """The export's folder among the app's assets."""
    try:
        return FileName(f"{document.model}-{safe_name(document.dataset.name)}".rstrip(" ."))
    except ValueError as error:
        raise InputError(
            f"an export cannot be put into the app: {error}. Give its data set a shorter name."
        ) from None


def _stage_one(folder: Path, document: Manifest, target: Path, wanted: tuple[str, ...] | None) -> list[str]:
    chosen = [entry for entry in document.files if wanted is None or entry.scheme in wanted]
    if not chosen:
        there = ", ".join(entry.scheme for entry in document.files)
        raise InputError(
            f"{folder} has the schemes {there}, but none of {', '.join(wanted or ())}. Export those first."
        )
    (target / golden.FOLDER).mkdir(parents=True)
    for entry in chosen:
        _copy(folder, entry.path, target)
        if sha256(target / entry.path) != entry.sha256:
            raise ModelFileError(f"{folder / entry.path} has changed since its export. Export again.")
    # Only what is named: what else lies in the folder is nobody's business.
    images = golden.read_document(folder).images
    for name in (manifest.LABELS, golden.FILE, *(f"{golden.FOLDER}/{image.file}" for image in images)):
        _copy(folder, name, target)
    if problems := folder_check.problems(target, document, for_app=True):
        raise InputError(f"{folder} is not as it was exported: {'; '.join(problems)}. Export it again.")
    entries = [_entry(entry, len(images)) for entry in chosen]
    # Nothing of the machine that exported: the app is given to others.
    kept = {
        "model": document.model,
        "dataset": {"name": document.dataset.name, "version": document.dataset.version},
        "golden": golden.FILE,
        "gpu_file": _gpu_file(document, entries),
        "files": entries,
    }
    write_json(target / manifest.MANIFEST, kept)
    return [entry.path for entry in chosen]


def _entry(file: manifest.ModelFile, golden_images: int) -> dict[str, Any]:
    """A file in the app's manifest."""
    limits = schemes.find(file.scheme).limits
    # Of so few images one more that disagrees says nothing; those of the limit itself come from hundreds.
    least = fewest_agreeing(golden_images, limits.min_agreement) / max(golden_images, 1)
    most = 1.0 if limits.max_error is None else limits.max_error  # no probability is off by more
    entry = {
        "scheme": file.scheme,
        "path": file.path,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "limits": {"min_agreement": least, "max_error": most},
    }
    return entry if file.gpu is msgspec.UNSET else {**entry, "gpu": msgspec.to_builtins(file.gpu)}


def _gpu_file(document: Manifest, bundled: list[dict[str, Any]]) -> str | None:
    """Which of the bundled files the app runs on the GPU: the export's choice, or the best of the others."""
    named = document.gpu_file
    if isinstance(named, str) and any(entry["path"] == named for entry in bundled):
        return named
    return gpu.choose(bundled)


def _copy(folder: Path, name: str, target: Path) -> None:
    """Copies one file of an export folder to the same place in `target`.

    Raises InputError for a symbolic link: it may lead to any file of this machine, and the app is given to others.
    """
    for place in (folder / name, *(folder / parent for parent in Path(name).parents if parent.name)):
        if place.is_symlink():
            raise InputError(
                f"{place} is a symbolic link, and the app takes none. Copy the folder with what its links lead to "
                f"(cp -rL {folder} COPY), and give the copy."
            )
    if not (folder / name).is_file():
        raise ModelFileError(f"{folder / name} is missing. Export it again.")
    shutil.copyfile(folder / name, target / name, follow_symlinks=False)


def _package(variant: str, folder: Path) -> Package:
    path = folder / f"vitconv-demo-{variant}.apk"
    parts: Counter[str] = Counter()
    with ZipFile(path) as archive:
        for entry in archive.infolist():
            parts[_part(entry.filename)] += entry.compress_size
    return Package(variant, path, path.stat().st_size, dict(sorted(parts.items())))


def _part(name: str) -> str:
    if name.startswith("assets/models/"):
        return "models" if name.endswith(".tflite") else "golden images and labels"
    if name.startswith("lib/"):
        return "/".join(name.split("/")[:2])
    return "code" if name.endswith(".dex") else "resources"
