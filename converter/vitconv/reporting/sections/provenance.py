"""From what, by which versions and on which images: whoever has the same digests has the same figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vitconv.reporting.findings import Export


@dataclass(frozen=True)
class DigestRow:
    what: str
    detail: str
    sha256: str


@dataclass(frozen=True)
class Provenance:
    sentences: tuple[str, ...]
    rows: tuple[DigestRow, ...]


def provenance(export: Export) -> Provenance:
    return Provenance(tuple(_sentences(export)), tuple(_rows(export)))


def _sentences(export: Export) -> Iterator[str]:
    document = export.manifest
    dataset, image, versions = document["dataset"], document["image"], document["versions"]
    yield f"Data set: {dataset['name']} {dataset.get('version') or ''}".rstrip() + "."
    yield f"Image: {image.get('height')}×{image.get('width')}, {len(export.labels)} classes."
    if isinstance(versions, dict):
        yield f"Exported by {', '.join(f'{name} {version}' for name, version in versions.items())}."
    yield from _of_another_tool(document)
    if export.runtime:
        yield f"Timed by {export.runtime}."


def _of_another_tool(document: Mapping[str, Any]) -> Iterator[str]:
    """What was told of a file that no training of ours made, and which rules rewrote its graph."""
    told = document.get("told")
    if told is None:
        return
    softmax = " A softmax was appended to its logits." if told["softmax"] else ""
    yield f"Made from a file of another tool, which was told to take pixels {told['pixels']}.{softmax}"
    rules = document.get("rules") or ()
    used = [f"{rule['rule']} ({rule['places']} places)" for rule in rules if rule["kept"]]
    if used:
        yield f"Its graph was rewritten: {'; '.join(dict.fromkeys(used))}."
    refused = [f"{rule['rule']} (off by {rule['error']:.2g})" for rule in rules if not rule["kept"]]
    if refused:
        yield f"Rules that would have changed answers were not used: {'; '.join(refused)}."


def _rows(export: Export) -> Iterator[DigestRow]:
    for file in export.files:
        yield DigestRow(file.path, f"{file.bytes} bytes" if file.bytes else "missing", file.sha256)
    checkpoint, ranges = export.manifest["checkpoint"], export.manifest["calibration"]
    # Its folder may be somebody's own, whom the report's readers need not know.
    name = str(checkpoint["name"]).replace("\\", "/").rstrip("/").rpartition("/")[2]
    yield DigestRow("checkpoint", name, str(checkpoint["sha256"]))
    if isinstance(ranges, dict):
        yield DigestRow("calibration", str(ranges.get("file")), str(ranges.get("sha256")))
    if export.reference:
        images = f"{export.reference.dataset}, first {export.reference.examples} images"
        yield DigestRow("images verified on", images, export.reference.split_digest)
    if export.calibration:
        split = f"{export.calibration.dataset} {export.calibration.split}"
        yield DigestRow("calibration images", split, export.calibration.split_digest)
