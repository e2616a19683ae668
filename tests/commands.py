"""Calls the `vitconv` command: the real one, or its main function here, where TensorFlow is loaded only once."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest

from vitconv.cli.main import main

COLUMNS = 60  # of the narrowest terminal on which everything must fit
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


def on_terminal(command: list[str], **environment: str) -> tuple[int, str]:
    """On a terminal of COLUMNS: the exit status, and all that the command sends there, with line feeds alone."""
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    own = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    own["TERM"] = "xterm-256color"
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env={**own, **environment}
    ) as process:
        os.close(terminal)
        shown = b""
        try:
            while block := os.read(main, 1 << 16):
                shown += block
        except OSError:  # the end of a terminal, on Linux
            pass
    os.close(main)
    return process.returncode, shown.decode().replace("\r\n", "\n")


def script(name: str) -> ModuleType:
    """One of scripts/ that is Python, as a module."""
    folder = Path(__file__).resolve().parent.parent / "scripts"
    loader = SourceFileLoader(name.replace("-", "_"), str(folder / name))
    spec = spec_from_loader(loader.name, loader)
    assert spec
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setitem(sys.modules, loader.name, module)  # where dataclasses look
        patch.setattr(sys, "dont_write_bytecode", True)  # it would lie beside the script
        loader.exec_module(module)
    return module


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
    """The command's main function in this process. What it sets in the environment and of logging ends with it."""
    capfd.readouterr()
    status: Any = 0
    logger = logging.getLogger("vitconv")
    level, handlers = logger.level, logger.handlers[:]
    with patch.dict(os.environ), pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorFlow's and Keras's own, when they are loaded and convert
        patched.setattr(sys, "argv", ["vitconv", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        finally:
            logger.setLevel(level)
            logger.handlers[:] = handlers
    out, err = capfd.readouterr()
    return Ended(status, out, err)


def refused(ended: Ended, *words: str) -> None:
    """Checks that the command ended as for a wrong input: one message with these words, and no result."""
    assert ended.status == 2, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    messages = [line for line in ended.err.splitlines() if line.startswith(("vitconv: ", "Error: "))]
    notes, message = messages[:-1], messages[-1]
    # Before it only what is said of the pictures, which is no error.
    known = ("images are not mirrored", " split", " in train ", " without classes", " look like noise")
    assert all(any(words in note for words in known) for note in notes), ended.err
    for word in words:
        assert word in message, message
    # Nothing but progress before it, and nothing after it: "what (how many)", or click's two lines of usage.
    *before, last = ended.err.splitlines()
    assert last == message, ended.err
    assert all(
        line in notes or line.endswith(")") or line.startswith(("Usage: ", "Try ")) or not line for line in before
    ), ended.err


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
