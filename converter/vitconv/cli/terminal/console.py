"""How every command uses its streams: the result goes to standard output, everything else to standard error."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

import click

from vitconv.cli.tables.layout import wrapped
from vitconv.foundation.errors import OutputError
from vitconv.foundation.text import printable

_KERAS_COLUMNS = 100  # its bar, four metrics and the time; a line that is longer would be repeated at every step


def prepare_streams() -> None:
    """Makes printing safe: closed streams are replaced, and characters that the encoding lacks raise no error."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed by whoever started us: the next file opened would take its number
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  kept for good
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    logger = logging.getLogger("vitconv")
    if not any(isinstance(handler, _Words) for handler in logger.handlers):
        logger.addHandler(_Words())
        # Without any handler on the root, the first library that logs there gives it one, which repeats our words.
        logging.getLogger().addHandler(logging.NullHandler())
    logger.setLevel(logging.INFO)


class _Words(logging.Handler):
    """What the stages tell a user on the way goes to standard error, as everything else that a command says."""

    def emit(self, record: logging.LogRecord) -> None:
        warn(record.getMessage())


def draws_bars(stream: TextIO) -> bool:
    """Whether Keras may draw its progress bar, in colours: on a terminal that is wide enough, without NO_COLOR."""
    wide = shutil.get_terminal_size().columns >= _KERAS_COLUMNS
    return stream.isatty() and wide and not os.environ.get("NO_COLOR")


def warn(message: str) -> None:
    """One message on standard error; on a terminal broken at words."""
    text = f"vitconv: {printable(message)}"
    if sys.stderr.isatty():
        columns = shutil.get_terminal_size().columns
        text = "\n".join(wrapped(line, columns, "    ") for line in text.split("\n"))
    click.echo(text, err=True)


def advise(advice: str | None) -> None:
    """A warning, where there is one."""
    if advice:
        warn(advice)


def keeping(keep: Callable[[], None]) -> None:
    """Saves a result in its export folder. If that fails, it warns, and the result is shown all the same."""
    try:
        keep()
    except OutputError as error:
        warn(f"the result could not be saved for `vitconv report`: {error}")


def fail(message: str, status: int) -> NoReturn:
    """One message on standard error, and the end."""
    warn(message)
    sys.exit(status)


def print_result(as_json: bool, document: Any, text: Callable[[int], str]) -> None:
    """The command's result, the only thing that goes to standard output. `text` is told the columns there are."""
    if as_json:
        # Escapes instead of any character but ASCII: what arrives doesn't depend on the terminal's encoding.
        output = json.dumps(document, indent=2, allow_nan=False)
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
        output = printable(text(width))
    try:
        click.echo(output)
    except OSError as error:
        # What the stream still holds would be tried again, and fail again, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        # Whoever read it may have seen enough (`| head`); that changes nothing about what the command found.
        if not isinstance(error, BrokenPipeError):
            raise OutputError(f"cannot write to standard output: {error.strerror}.") from error
