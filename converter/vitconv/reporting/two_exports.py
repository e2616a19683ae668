"""Two exports side by side: what they were made from, and every scheme that either of them has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vitconv.evaluation.parity import VERDICTS, Verdict
from vitconv.reporting.findings import Export, ModelFile


@dataclass(frozen=True)
class Figures:
    """One file's; None where it was not measured. times are in milliseconds, sizes in bytes and MiB."""

    sha256: str
    bytes: int
    top1: float | None
    agreement: float | None
    passed: bool | None
    verdict: Verdict | None
    desktop_ms: float | None
    phone_ms: float | None
    peak_memory_mb: float | None


@dataclass(frozen=True)
class SchemePair:
    scheme: str
    a: Figures | None
    b: Figures | None


@dataclass(frozen=True)
class Comparison:
    """`differences` say in sentences what A and B do not have in common: with it, figures cannot be compared."""

    a: str
    b: str
    differences: tuple[str, ...]
    schemes: tuple[SchemePair, ...]

    def to_json(self) -> dict[str, Any]:
        lists = {"differences": list(self.differences), "schemes": [asdict(pair) for pair in self.schemes]}
        return {**asdict(self), **lists}


def compare(a: Export, b: Export) -> Comparison:
    left = {file.scheme: file for file in a.files}
    right = {file.scheme: file for file in b.files}
    names = [*left, *(name for name in right if name not in left)]
    pairs = tuple(SchemePair(name, _figures(left.get(name)), _figures(right.get(name))) for name in names)
    return Comparison(a.name, b.name, _differences(a, b), pairs)


def _figures(file: ModelFile | None) -> Figures | None:
    if file is None:
        return None
    verified, desktop, phone = file.verified, file.desktop, file.phone
    return Figures(
        file.sha256,
        file.bytes,
        verified.top1 if verified else None,
        verified.agreement if verified else None,
        verified.passed if verified else None,
        verified.verdict if verified else None,
        desktop.ms if desktop else None,
        phone.ms if phone else None,
        desktop.memory_mb if desktop else None,
    )


def _differences(a: Export, b: Export) -> tuple[str, ...]:
    one, other = _facts(a), _facts(b)
    found = [f"{name}: {one[name]} in A, {other[name]} in B" for name in one if one[name] != other[name]]
    if a.labels != b.labels:
        found.append(f"classes: {len(a.labels)} in A, {len(b.labels)} in B, or other names or another order")
    return tuple(found)


def _facts(export: Export) -> Mapping[str, str]:
    document, reference = export.manifest, export.reference
    calibration = document["calibration"]
    versions = document["versions"] if isinstance(document["versions"], dict) else {}
    settings = sorted({timing.setting for file in export.files if (timing := file.desktop)})
    return {
        "model": str(document["model"]),
        "checkpoint": str(document["checkpoint"]["sha256"])[:16],
        "data set": f"{document['dataset']['name']} {document['dataset'].get('version') or ''}".strip(),
        "image": f"{document['image'].get('height')}×{document['image'].get('width')}",
        "calibration": str(calibration.get("sha256"))[:16] if isinstance(calibration, dict) else "none",
        **{f"{name} (version)": str(version) for name, version in versions.items()},
        "images verified on": (
            f"{reference.examples} of {reference.dataset} ({reference.split_digest[:12]})" if reference else "none"
        ),
        "machine": export.machine or "not timed",
        "runtime": export.runtime or "not timed",
        "setting": "; ".join(settings) or "not timed",
        "phones": "; ".join(export.phones) or "none",
    }


ROWS = (
    ("top-1, %", "top1", 100.0, 2), ("agrees with Keras, %", "agreement", 100.0, 2),
    ("desktop ms", "desktop_ms", 1.0, 2), ("phone ms", "phone_ms", 1.0, 2), ("MB", "bytes", 1e-6, 2),
    ("peak MB", "peak_memory_mb", 1.0, 1),
)  # fmt: skip


def rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """(scheme, figure, A, B, difference B − A), those that either has."""
    found: list[tuple[str, ...]] = []
    for pair in comparison.schemes:
        checks = [_check(figures) for figures in (pair.a, pair.b)]
        if any(checks):
            found.append((pair.scheme, "check", *checks, "" if checks[0] == checks[1] else "differs"))
        for title, name, factor, digits in ROWS:
            values = [getattr(figures, name) if figures else None for figures in (pair.a, pair.b)]
            if values == [None, None]:
                continue
            shown = ["" if value is None else f"{factor * value:.{digits}f}" for value in values]
            a, b = values
            change = "" if a is None or b is None else f"{factor * (b - a):+.{digits}f}"
            found.append((pair.scheme, title, *shown, change))
    return found


def _check(figures: Figures | None) -> str:
    return VERDICTS[figures.verdict] if figures and figures.verdict else ""
