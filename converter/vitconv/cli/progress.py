"""Progress of long work on standard error: a line that redraws itself on a terminal, a line a stage elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

_SHORTEST_BAR, _LONGEST_BAR = 5, 30  # columns


class ConsoleProgress:
    """Called as (what, done, total) as often as the work likes; draws at most ten times a second."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._what = ""
        self._drawn = 0.0
        self._started = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        new, finished = what != self._what, done >= total
        if new:
            self._end_line()
            self._what, self._started = what, now
        if not self._terminal:
            if new:
                print(f"{what} ({total})", file=self._stream, flush=True)
            return
        if not (new or finished) and now - self._drawn < 0.1:
            return
        self._drawn = now
        self._stream.write("\r" + self._line(done, total, now - self._started) + "\x1b[K")
        if finished:
            self._stream.write("\n")
            self._what = ""
        self._stream.flush()

    def close(self) -> None:
        """Ends a line that was left open, so that what follows starts on its own."""
        self._end_line()
        self._what = ""

    def _line(self, done: int, total: int, seconds: float) -> str:
        """At most one column less than the terminal has: a line that is broken could not be drawn over."""
        columns = shutil.get_terminal_size().columns
        left = f", {seconds / done * (total - done):.0f} s left" if 0 < done < total else f", {seconds:.0f} s"
        numbers = f"{done}/{total}{left}"
        room = columns - 1 - len(self._what) - len(numbers) - len(" [] ")
        if room < _SHORTEST_BAR:
            return f"{self._what[: max(columns - 2 - len(numbers), 0)]} {numbers}"[: columns - 1]
        width = min(_LONGEST_BAR, room)
        filled = width * done // max(total, 1)
        return f"{self._what} [{'#' * filled}{'.' * (width - filled)}] {numbers}"

    def _end_line(self) -> None:
        if self._terminal and self._what:
            self._stream.write("\n")
            self._stream.flush()
