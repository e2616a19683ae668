"""Which file of an export an app should run on the GPU, and why the others not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from vitconv.exporting.gpu import BEST_FIRST, of_support
from vitconv.reporting.findings import Export, ModelFile
from vitconv.tflite.runtime_versions import ANDROID_RELEASE, release_name


@dataclass(frozen=True)
class GpuChoice:
    """`file` is None where no file is for GPUs."""

    file: str | None
    sentence: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def gpu_choice(export: Export) -> GpuChoice:
    """Of the files that TFLite's GPU delegate computes whole and right, and that failed nowhere: float16, else
    float32, else dynamic."""
    fit = {file.scheme: file for file in export.files if not _against(file)}
    chosen = next((fit[scheme] for scheme in BEST_FIRST if scheme in fit), None)
    others = " ".join(_others(export, chosen))
    if chosen is None or chosen.inspection is None:
        return GpuChoice(None, "None of these files is for GPUs.", others)
    release, count = release_name(ANDROID_RELEASE), chosen.inspection.gpu.operations
    reasons = [f"TFLite {release}'s GPU delegate computes all {count} operations of it."]
    if chosen.scheme == "float16":
        reasons.append("GPUs of phones compute in 16 bits, so that it costs no more than float32.")
    reasons.append(_tried(export, chosen))
    return GpuChoice(chosen.path, f"On a GPU: {chosen.path}.", " ".join([*reasons, others]).strip())


def _against(file: ModelFile) -> str | None:
    """Why a file is not for GPUs; None where nothing is known against it."""
    if file.problem or file.inspection is None:
        return "it cannot be read"
    if file.verified and not file.verified.passed:
        return "it failed `verify`"
    entry = of_support(file.inspection.gpu)
    if not entry.fit:
        return "; ".join(entry.reasons)
    if file.gpu and file.gpu.status != "right":
        return "; ".join(file.gpu.reasons) or "LiteRT's accelerator does not compute all of it"
    if file.scheme not in BEST_FIRST:
        return "GPUs compute integer files in floats, so that nothing is gained"
    return None


def _tried(export: Export, chosen: ModelFile) -> str:
    if chosen.gpu is None or chosen.gpu.max_abs_error is None:
        return f"It was not tried on a GPU: run `vitconv verify {export.name} --runtime gpu`."
    images = f"{chosen.gpu.images} golden image{'s' if chosen.gpu.images > 1 else ''}"
    half = chosen.gpu.half
    rounded = ""
    if half and half.max_abs_error is not None:
        rounded = f", and with every value rounded to 16 bits the file is within {half.max_abs_error:.1e}"
    return (
        f"LiteRT's GPU accelerator on {export.gpu_adapter} is within {chosen.gpu.max_abs_error:.1e} of Keras's "
        f"probabilities on {images}{rounded}."
    )


def _others(export: Export, chosen: ModelFile | None) -> Iterator[str]:
    schemes: dict[str, list[str]] = {}
    for file in export.files:
        if file is not chosen and (why := _against(file)):
            schemes.setdefault(why, []).append(file.scheme)
    for why, them in schemes.items():
        yield f"Not {', '.join(them)}: {why}."
