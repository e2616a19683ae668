"""One call of the adb program, which may hang or print without end."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from vitconv.foundation.errors import DeviceRunError
from vitconv.foundation.programs import kill

MOST_OUTPUT = 32 << 20  # bytes; no program that is used here prints more


@dataclass(frozen=True)
class Finished:
    """A command that came to its end, here or on the phone: its exit status (128 + N where signal N ended it)."""

    status: int
    out: str
    err: str


class LateError(TimeoutError):
    """adb did not end in time; `printed` is what it had printed until then."""

    def __init__(self, printed: str = "") -> None:
        super().__init__()
        self.printed = printed


def run(command: Sequence[str], seconds: float, give_up: Callable[[], bool]) -> Finished:
    """Runs a command to its end.

    Raises LateError where it takes longer than `seconds`, KeyboardInterrupt as soon as `give_up` says so, and
    DeviceRunError where it prints without end. Whatever it raises, the command runs no more, nor what it started:
    a child left behind would go on printing into a file that nobody sees, until the disk is full.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
        end, late = time.monotonic() + seconds, False
        try:
            while not late:
                try:
                    process.wait(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    late = time.monotonic() > end
                if give_up():
                    raise KeyboardInterrupt
                if os.fstat(out.fileno()).st_size + os.fstat(err.fileno()).st_size > MOST_OUTPUT:
                    name = " ".join(command[1:4])[:80]
                    raise DeviceRunError(f"`adb {name}` printed more than {MOST_OUTPUT >> 20} MiB.")
        finally:
            if process.poll() is None:
                kill(process)
                process.wait()
        printed = _text(out), _text(err)
    if late:
        raise LateError("\n".join(printed))
    return Finished(process.returncode, *printed)


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")
