"""Other programs: run to their end, or stopped with all that they have started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence


def output_of(
    command: Sequence[str],
    seconds: float,
    cwd: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a program without input, as `subprocess.run` does, and gives what it printed as text.

    Raises OSError where it cannot be started, and TimeoutExpired after so many `seconds`. What it has started is
    then stopped with it, and not waited for, though it holds the output open.
    """
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except BaseException:
            kill(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def kill(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """Stops a process that has a session of its own and, where there are process groups, all of its children."""
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
