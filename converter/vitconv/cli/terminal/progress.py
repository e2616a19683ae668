"""Progress of long work on standard error: rich's bar on a terminal, a plain line a stage elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from vitconv.foundation.text import visible

if TYPE_CHECKING:
    from rich.progress import Progress

_LONGEST_BAR = 30  # columns
_PAUSE = 0.1  # seconds between two drawings


class ConsoleProgress:
    """Called as (what, done, total) as often as the work likes; draws at most ten times a second."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        # A dumb terminal can't draw over a line.
        self._terminal = self._stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        self._what: str | None = None
        self._bar: Progress | None = None
        self._drawn = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        new, finished = what != self._what, done >= total
        if new:
            self.close()
            self._what = what
            if self._terminal:
                self._bar = _start(self._stream, visible(what), done, total)
            else:
                print(f"{what} ({total})", file=self._stream, flush=True)
        if self._bar is None:
            return
        now = time.monotonic()
        if new or finished or now - self._drawn >= _PAUSE:
            self._drawn = now
            self._bar.update(self._bar.task_ids[0], completed=done, total=total, refresh=not (new or finished))
        if finished:
            self.close()

    def close(self) -> None:
        """Ends a line that was left open, so that what follows starts on its own."""
        if self._bar:
            self._bar.stop()  # which draws it once more
        self._what = self._bar = None


@contextmanager
def tensorflow_progress() -> Iterator[ConsoleProgress]:
    """For commands that use TensorFlow: loads it, which takes seconds, and shows the progress of what follows."""
    from vitconv.foundation.quiet import import_tensorflow

    progress = ConsoleProgress()
    try:
        progress("loading TensorFlow", 0, 1)
        import_tensorflow()
        progress("loading TensorFlow", 1, 1)
        yield progress
    finally:
        progress.close()


def _start(stream: TextIO, what: str, done: int, total: int) -> Progress:
    """A bar in a line that is never broken: where there is little room, the words and the bar get shorter, and the
    numbers stay.

    It is drawn when it is told to, and by no thread of its own: while native code works, what goes to this stream
    is caught (vitconv.foundation.quiet). The cursor stays in sight, as a kill would leave it hidden for good.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    class SteadyConsole(Console):
        def show_cursor(self, show: bool = True) -> bool:
            return False

    class WhatColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(task.description, no_wrap=True, overflow="ellipsis")

    console = SteadyConsole(file=stream, force_terminal=True, force_jupyter=False)
    bar = Progress(
        WhatColumn(),
        BarColumn(min(_LONGEST_BAR, console.width // 4)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True, table_column=Column(no_wrap=True)),
        console=console,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task(what, total=total, completed=done)
    bar.start()
    return bar
