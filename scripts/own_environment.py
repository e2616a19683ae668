"""Environments beside the project's own, for programs that cannot live in it: each a folder that git ignores."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from vitconv.foundation.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
LITERT_TORCH = ("litert-torch==0.10.0", "timm==1.0.31")


def python_with(size: str, *requirements: str) -> Path:
    """The python of an environment that has `requirements` ("netron==9.3.3"), called after the first; made, and
    `size` said, where it is not there. Raises InputError where pip fails, which has then said why."""
    folder = ROOT / f".venv-{requirements[0].partition('==')[0]}"
    wanted, listed = "\n".join(requirements), ", ".join(requirements)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    note = folder / "made-from"
    if not note.is_file() or note.read_text(encoding="utf-8") != wanted:
        print(f"Installing {listed} into {folder}: {size}, once.", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
            raise InputError(f"{listed} could not be installed into {folder}; pip says why, above.")
        note.write_text(wanted, encoding="utf-8")
    return python
