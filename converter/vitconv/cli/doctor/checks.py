"""One thing that was looked at, the commands that need it, and how programs are looked for and asked."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

EVERY = "every command"

KERAS = ("train", "calibrate", "export", "verify", "explain")
BUILD, ANDROID, ARM64 = "app build", "verify --runtime android", "verify --runtime android (arm64-v8a)"
COUNT = "benchmark --runtime android"
GPU = "verify --runtime gpu"
PHONE = ("benchmark --device", "app install", "app run", "app selftest", "app benchmark")

# In the order in which they are shown.
COMMANDS = (
    *KERAS, "inspect", "run", "benchmark", "report", GPU, ANDROID, ARM64, COUNT, BUILD, *PHONE,
)  # fmt: skip

DEBIAN = "On Debian and Ubuntu: apt install"
REINSTALL = "Install vitconv again; in a checkout, remove .venv and run scripts/demo."
_MOMENT = 2.0  # seconds a program may take to say its version, which is then left out


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `found` is what is there, a version or a place. Where there is a `problem`,
    the commands in `needed_for` can't do their work, and `remedy` says what to do."""

    name: str
    found: str
    needed_for: tuple[str, ...] = ()
    problem: str | None = None
    remedy: str | None = None


def on_path(name: str, needed_for: tuple[str, ...], remedy: str) -> Check:
    """Whether a program is there."""
    found = shutil.which(name)
    if found:
        return Check(name, found, needed_for)
    return Check(name, "", needed_for, "it is not on PATH", remedy)


def first_line(command: list[str]) -> str:
    return output(command).partition("\n")[0]


def output(command: list[str]) -> str:
    """What a program prints in a moment; "" where it cannot be run, or takes longer."""
    from vitconv.foundation.programs import output_of

    try:
        done = output_of(command, _MOMENT)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return re.sub(r"\x1b\[[\d;]*m", "", done.stdout)
