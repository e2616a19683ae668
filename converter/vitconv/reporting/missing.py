"""Sections of a report without data, and how to get it."""

from __future__ import annotations

from vitconv.conversion import schemes
from vitconv.reporting.findings import Export


def missing(export: Export) -> dict[str, str]:
    """Section → what to do, in the report's order."""
    verify, benchmark = f"vitconv verify {export.name}", f"vitconv benchmark {export.name}"
    verified = [file for file in export.files if file.verified]
    found = {}
    if not verified:
        found["accuracy"] = f"Run `{verify}`."
    if not any(file.desktop for file in export.files):
        found["latency"] = f"Run `{benchmark}`."
    if not any(file.android for file in export.files):
        found["arm64"] = f"Run `{benchmark} --runtime android --layers`: it needs no phone."
    if not any(file.phones for file in export.files):
        found["phone"] = f"Connect a phone with USB debugging and run `{benchmark} --device`."
    if not any(file.verified and file.verified.layers for file in export.files):
        found["layers"] = f"Run `{verify} --layers`."
    if not any(file.verified and file.verified.confusion is not None for file in export.files):
        found["classes"] = f"Run `{verify}`."
    if not any(file.verified and file.verified.disagreements for file in export.files):
        integers = any(schemes.find(file.scheme).needs_calibration for file in export.files)
        found["disagreements"] = (
            f"Run `{verify}`."
            if integers and not verified
            else "No integer file differs from Keras on any image."
            if integers
            else "Export int8, too: `vitconv export … --quant int8`."
        )
    elif not export.reasons:
        found["explanations"] = f"Run `vitconv explain {export.name}`: it shows what these answers rest on."
    if export.robustness is None:
        found["robustness"] = f"Run `{verify} --robustness`: it takes some minutes."
    if export.calibration is None:
        found["calibration"] = "Export an integer file: `vitconv export … --quant int8` saves its ranges here."
    if export.liveness is None:
        found["liveness"] = (
            "The checkpoint does not say which layers take part. `vitconv train` measures it at its end (with "
            "`--resume` also of a finished training), and `vitconv export` copies it."
        )
    if not export.history:
        found["training"] = (
            "The checkpoint has no history. `vitconv train` writes one, and `vitconv export` copies it."
        )
    return found
