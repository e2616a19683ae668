"""Python and the packages that vitconv needs."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterator

from vitconv.cli.doctor.checks import EVERY, KERAS, REINSTALL, Check

# Every package of pyproject's dependencies, and what does not work without it.
PACKAGES: dict[str, tuple[str, ...]] = {
    "click": (EVERY,),
    "rich": (EVERY,),
    "numpy": (EVERY,),
    "pillow": (EVERY,),
    "tensorflow": KERAS,
    "keras": KERAS,
    "protobuf": KERAS,
    "h5py": KERAS,
    "safetensors": KERAS,
    "scikit-learn": KERAS,
    "tensorflow-datasets": KERAS,
    "tensorflow-metadata": KERAS,
    "matplotlib": ("train", "report"),
    "scipy": ("verify", "report"),
    "jinja2": ("report",),
    "msgspec": (*KERAS, "benchmark", "report"),
    "platformdirs": (*KERAS, "benchmark"),
    "filelock": KERAS,
    "ai-edge-litert": ("calibrate", "export", "verify", "inspect", "run", "benchmark"),
    "tflite-support": ("export", "verify", "inspect", "run"),
    "libusb-package": ("export",),
}

_PYTHONS = ((3, 10), (3, 11))  # tflite-support has no wheels for others


def look() -> Iterator[Check]:
    version = sys.version_info[:2]
    wanted = " or ".join(f"{major}.{minor}" for major, minor in _PYTHONS)
    fits = version in _PYTHONS
    yield Check(
        "Python", f"{platform.python_version()}, {sys.executable}", (EVERY,),
        None if fits else f"it is {version[0]}.{version[1]}, not {wanted}",
        None if fits else f"Make an environment with Python {wanted}; tflite-support has no wheels for others.",
    )  # fmt: skip
    for name, ranges in _requirements().items():
        yield _package(name, ranges)


def _requirements() -> dict[str, str]:
    """Package → the versions that vitconv's own record asks for, "<2.2,>=2.1"; "" where there is no record."""
    found = dict.fromkeys(PACKAGES, "")
    try:
        lines = importlib.metadata.requires("vitconv") or []
    except importlib.metadata.PackageNotFoundError:
        return found
    for line in lines:
        if "extra ==" not in line and (parts := re.match(r"([\w.-]+)\s*([^;]*)", line)):
            found[parts[1].lower()] = parts[2].strip()
    return found


def _package(name: str, ranges: str) -> Check:
    needed_for = PACKAGES.get(name, ())
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        remedy = f"{REINSTALL} Or: pip install '{name}{ranges}'"
        return Check(name, "", needed_for, "it is not installed", remedy)
    if _within(version, ranges):
        return Check(name, version, needed_for)
    return Check(
        name, version, needed_for, f"vitconv was made for {ranges}, not {version}", f"pip install '{name}{ranges}'"
    )


def _within(version: str, ranges: str) -> bool:
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:  # it comes along with TensorFlow, which is then missing, too
        return True
    return SpecifierSet(ranges).contains(version, prereleases=True)
