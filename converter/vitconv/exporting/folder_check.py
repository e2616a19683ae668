"""Is an export folder still what its manifest says? Every file but the models, which verify and report run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vitconv.exporting import golden, manifest
from vitconv.exporting.manifest import Manifest
from vitconv.foundation.disk.files import sha256
from vitconv.foundation.errors import InputError


def problems(folder: Path, document: Manifest, for_app: bool = False) -> tuple[str, ...]:
    """What is missing, was changed, or contradicts the manifest, a sentence each; empty where all is as exported.

    `for_app` looks only at what an app takes: labels and golden images. Manifests of earlier versions have no
    digests: the labels are then compared word by word, and the golden images must be whole and fit the model.
    """
    digests: dict[str, str] = {name: digest for name, digest in (document.digests or {}).items()}  # noqa: C416
    if document.calibration:
        digests[document.calibration.file] = document.calibration.sha256
    looked_at = {name: digest for name, digest in digests.items() if not for_app or _is_for_app(name)}
    found = {name: problem for name, digest in looked_at.items() if (problem := _changed(folder / name, digest))}
    texts = [f"{name} {problem}" for name, problem in found.items()]
    if manifest.LABELS not in digests:
        texts += _wrong_labels(folder, document)
    if not any(name.startswith(golden.FOLDER) for name in found):
        texts += _wrong_golden(folder, document)
    return tuple(texts)


def _is_for_app(name: str) -> bool:
    return name == manifest.LABELS or name.startswith(f"{golden.FOLDER}/")


def _changed(path: Path, digest: str) -> str | None:
    try:
        if not path.exists():
            return "is in the manifest, but not in the folder"
        if not path.is_file():
            return "is no file"
        return (
            "has changed since the export (its SHA-256 is not the manifest's)" if sha256(path) != digest else None
        )
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _wrong_labels(folder: Path, document: Manifest) -> Iterator[str]:
    path, expected = folder / manifest.LABELS, "".join(f"{label}\n" for label in document.labels)
    try:
        if not path.is_file():
            yield f"{manifest.LABELS} is not in the folder"
        elif path.read_bytes().replace(b"\r\n", b"\n").decode() != expected:
            yield f"{manifest.LABELS} names other classes than the manifest, or in another order"
    except (OSError, ValueError) as error:
        yield f"{manifest.LABELS} cannot be read: {error}"


def _wrong_golden(folder: Path, document: Manifest) -> Iterator[str]:
    try:
        images, probabilities = golden.read(folder)
    except InputError as error:
        yield str(error).rstrip(".")
        return
    height, width, _ = images.shape[1:]
    image, classes = document.image, len(document.labels)
    if (height, width) != (image.height, image.width):
        yield f"the golden images are {width}×{height} pixels, and the model takes {image.width}×{image.height}"
    if probabilities.shape[1] != classes:
        yield f"{golden.FILE} has {probabilities.shape[1]} probabilities an image, and there are {classes} classes"
