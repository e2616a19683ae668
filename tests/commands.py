"""Calls the `vitconv` command: the real one, or its main function here, where TensorFlow is loaded only once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vitconv.cli import main

SECONDS = 600  # for a machine that is busy with other things; everything here takes far less


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit status and what it wrote."""

    status: int
    out: str
    err: str


Call = Callable[..., Ended]


def executable() -> str:
    """The command that belongs to this Python."""
    found = shutil.which("vitconv", path=str(Path(sys.executable).parent))
    assert found, "vitconv is not installed in this environment: pip install -e ."
    return found


def run(*arguments: object, **environment: str) -> Ended:
    """The real command, in a process of its own."""
    done = subprocess.run(
        [executable(), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        env={**os.environ, **environment},
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def call_here(capfd: pytest.CaptureFixture[str], *arguments: object) -> Ended:
    """The command's main function in this process."""
    capfd.readouterr()
    status: Any = 0
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorFlow's and Keras's own, when they are loaded and convert
        patch.setattr(sys, "argv", ["vitconv", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
    out, err = capfd.readouterr()
    return Ended(status, out, err)


def refused(ended: Ended, *words: str) -> None:
    """Checks that the command ended as for a wrong input: one message with these words, and no result."""
    assert ended.status == 2, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    messages = [line for line in ended.err.splitlines() if line.startswith(("vitconv: ", "Error: "))]
    assert len(messages) == 1, ended.err
    for word in words:
        assert word in messages[0], messages[0]
    # Nothing but progress before it, and nothing after it: "what (how many)", or click's two lines of usage.
    *before, last = ended.err.splitlines()
    assert last == messages[0], ended.err
    assert all(line.endswith(")") or line.startswith(("Usage: ", "Try ")) or not line for line in before), (
        ended.err
    )


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """The real command in a process group of its own, as a shell starts it; the whole group is gone at the end."""
    process = subprocess.Popen(
        [executable(), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if processes(process.pid) or process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_line(process: subprocess.Popen[str], start: str) -> None:
    """Reads the command's progress until a line begins with `start`."""
    assert process.stderr
    for line in process.stderr:
        if line.startswith(start):
            return
    pytest.fail(f"the command ended before it said {start!r}")


def processes(group: int) -> list[int]:
    """The living processes of a process group (reads /proc)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (name) state parent group …
            state, _, its_group, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(its_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def wait_until(what: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.01)
    return False
