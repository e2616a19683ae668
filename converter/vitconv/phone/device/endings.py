"""How a program on a phone, and a call of adb, ended, in words."""

from __future__ import annotations

import re
import signal

_LONGEST_REASON = 300  # characters of what a program printed
# What the phone's shell adds when a signal ends a program, which the exit status says already.
_SHELL_SAYS = ("Segmentation fault", "Aborted", "Killed", "Bus error", "Illegal instruction", "Terminated")
# What Android's linker and shells say of a file that they cannot start. The linker's exit status says nothing.
_NOT_STARTED = re.compile(
    r"CANNOT LINK EXECUTABLE|not executable:|Exec format error|inaccessible or not found|bad ELF magic"
    r"|cannot execute|can't execute|only position independent executables|^chmod: ",
    re.MULTILINE,
)

_ERROR = re.compile("error|failed", re.IGNORECASE)
# What the phone itself says when it does not want something.
_REFUSED = re.compile(
    r"permission denied|not permitted|read-only|no such file|(is|not) a directory|quota|busy|too large|too long"
    r"|couldn't (create|write|open)|secure_mkdirs|not allowed",
    re.IGNORECASE,
)
# What adb says when the connection has gone; whatever else it says of an error is the phone's own refusal.
_BROKEN = re.compile(
    r"closed|offline|not found|no devices|protocol fault|no response|broken pipe|connection|transport|disconnect"
    r"|unauthorized|EOF|read failed|write failed|failed to read|daemon|server|timed? ?out|I/O error|reset",
    re.IGNORECASE,
)


def ending(status: int) -> str:
    """An exit status of the phone's shell in words."""
    if status > 128:
        try:
            return f"died of {signal.Signals(status - 128).name}"
        except ValueError:
            return f"died of signal {status - 128}"
    if status in (126, 127):
        return "cannot be started: it is not a program for this phone, or may not run there"
    return f"ended with status {status}"


def not_started(status: int, text: str) -> str | None:
    """Why a program did not get as far as its own first words; None where it did, or nothing tells."""
    if status >= 126:
        return ending(status)
    return "cannot be started" if _NOT_STARTED.search(text) else None


def last_words(text: str) -> str:
    """The line that most likely says why, fit for one line of a message."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(_SHELL_SAYS)]
    telling = [line for line in lines if "error" in line.lower() or "failed" in line.lower()] or lines
    words = shown(telling[-1]) if telling else ""
    return f": {words}" if words else ", and printed nothing"


def is_refusal(line: str) -> bool:
    """Whether what adb says of an error is the phone's own no, rather than a connection that has gone."""
    reason = re.sub("'.*'", "", line)  # without names of files, which may hold any word
    return bool(_REFUSED.search(reason) or (_ERROR.search(reason) and not _BROKEN.search(reason)))


def error_line(text: str) -> str:
    """The line of adb's that says what went wrong; the last one, where none does."""
    lines = [line for line in text.splitlines() if line.strip()]
    return shown(next((line for line in reversed(lines) if _ERROR.search(line)), lines[-1] if lines else ""))


def shown(text: str) -> str:
    """What a phone or adb says, which may be anything, fit for one line of a message."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_LONGEST_REASON]
