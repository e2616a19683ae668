"""What the command line makes of an exception that no command raised on purpose.

A full disk, a package that is missing and too little memory are the machine's: exit status 2. Anything else is a
fault of vitconv: exit status 3, and a log of it in the cache folder.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from vitconv._version import __version__

BUG_STATUS = 3
_KEPT_LOGS = 10
_LONGEST_REASON = 300  # characters


@dataclass
class Debugging:
    """Whether --debug was given; click carries it from command to command."""

    wanted: bool = False


def _note(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.find_root().ensure_object(Debugging).wanted = True


debug_option = partial(
    click.option,
    "--debug",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_note,
    help="Print the traceback of an unexpected error, too. May also stand behind the command.",
)


def explain(error: Exception) -> tuple[str, int]:
    """What to say about it, in one line, and the exit status. Keeps a log of a bug."""
    if _is_lack_of_memory(error):
        return "there is not enough memory for this. Try a smaller image size or batch.", 2
    if isinstance(error, ModuleNotFoundError) and (name := (error.name or "").partition(".")[0]) != "vitconv":
        return f"the Python package {name} is missing. `vitconv doctor` says how to get what is missing.", 2
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.", 2
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    if len(reason) > _LONGEST_REASON:
        reason = f"{reason[:_LONGEST_REASON]}…"
    said = f"unexpected error, most likely a bug in vitconv: {reason.rstrip('.: ')}."
    return f"{said} {_keep_log(error)}", BUG_STATUS


def _is_lack_of_memory(error: BaseException) -> bool:
    return any(
        isinstance(cause, MemoryError)
        # Asked by name: what raises TensorFlow's has loaded it, and nothing else needs it here.
        or (type(cause).__name__ == "ResourceExhaustedError" and type(cause).__module__.startswith("tensorflow"))
        for cause in _with_causes(error)
    )


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and those it was raised from: a library may wrap a MemoryError in one of its own."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


def _keep_log(error: Exception) -> str:
    """Writes the traceback into the cache folder, where only the newest logs stay. Says where it is."""
    try:
        from vitconv.foundation.disk.cache import cache_directory
        from vitconv.foundation.disk.files import write_text

        folder = cache_directory() / "logs"
        # The clock's first, so that names are in the order of time.
        path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**9:09}.log"
        write_text(path, _log(error))
        _remove_old_logs(folder)
    except Exception as problem:  # whatever it is, the error that it is about comes first
        return f"No log of it could be kept ({str(problem).rstrip('.')}): --debug prints the traceback."
    return f"The log is {path}; --debug prints the traceback. Please report it."


def _log(error: Exception) -> str:
    command: list[Any] = ["vitconv", *sys.argv[1:]]
    head = f"vitconv {__version__}, Python {sys.version}, {sys.platform}\n{command}\n\n"
    text = head + "".join(traceback.format_exception(error))
    return text.encode(errors="backslashreplace").decode()  # a name that is no UTF-8


def _remove_old_logs(folder: Path) -> None:
    for old in sorted(folder.glob("*.log"))[:-_KEPT_LOGS]:
        old.unlink(missing_ok=True)
