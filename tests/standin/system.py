"""The inside of the stand-in phone: a folder as its file system, and a handful of Android's programs.

Commands run in this machine's `sh`, with the phone's absolute paths (/data, /sdcard, /sys) pointing into the
folder, and the folder's name taken out of what they print. What the shell and the small programs say of an error
is put into the words of Android's (mksh and toybox). The programs are small scripts over plain files, which tests
write:

    props/NAME            what getprop says, and setprop writes; log.tag.TAG drops quieter lines of the log
    thermal               what dumpsys thermalservice says
    screen                on, off, locked, or covered: an app that wants to be seen is not (see app.py)
    installed             there where org.vitconv.demo is installed
    app.py                what `am start` runs for the app's task, in the background (see app.py)
    log                   what logcat says (see android.py)
    taskset.log           the masks that taskset was given

/data/data belongs to the apps: every look into it is refused, as SELinux does, though all here runs as one user.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROGRAMS = {
    "getprop": 'cat "$STANDIN/props/$1" 2>/dev/null || echo',
    "dumpsys": '[ "$1" = thermalservice ] && cat "$STANDIN/thermal"',
    "taskset": 'echo "$1" >> "$STANDIN/taskset.log"; shift; exec "$@"',
    "setprop": 'echo "$2" > "$STANDIN/props/$1"',
    "am": 'exec $PYTHON -S "$ANDROID" am "$@"',
    "logcat": 'exec $PYTHON -S "$ANDROID" logcat "$@"',
    "pidof": 'exec $PYTHON -S "$ANDROID" pidof "$@"',
    "pm": """
case "$1" in
    path) [ -e "$STANDIN/installed" ] && echo "package:/data/app/org.vitconv.demo/base.apk" ;;
    install) shift; for file; do :; done; cp "$file" "$STANDIN/installed" && echo Success ;;
esac""",
}
_ANDROID = Path(__file__).with_name("android.py")
_QUOTED = rb"['\xe2\x80\x98]*([^'\xe2]*)['\xe2\x80\x99]*"  # plain quotes, or UTF-8's curved ones
# What this machine's shell and programs say of an error → what Android's say.
_WORDS = (
    (
        rb"^(?:/bin/)?sh: \d+: cannot open (.*?): No such file$",
        rb"/system/bin/sh: can't open \1: No such file or directory",
    ),
    (rb"^(?:/bin/)?sh: \d+: cannot (open|create) (.*)$", rb"/system/bin/sh: can't \1 \2"),
    (rb"^(?:/bin/)?sh: \d+: (?:exec: )?(.*): not found$", rb"/system/bin/sh: \1: inaccessible or not found"),
    (
        rb"^(?:/bin/)?sh: \d+: (?:exec: )?(.*): Permission denied$",
        rb"/system/bin/sh: \1: can't execute: Permission denied",
    ),
    (rb"^(?:/bin/)?sh: \d+: ", rb"/system/bin/sh: "),
    (rb"^(\w+): cannot (?:access|remove|stat|create \w+|open) " + _QUOTED + rb"(?: for reading)?: ", rb"\1: \2: "),
)
REFUSED = "Permission denied"
_ROOTS = re.compile(r"(?<![\w.-])/(?:data|sdcard|sys)/")  # where a path begins, not in its middle


class System:
    """`free` is how many bytes its storage still takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.capacity: int | None = None
        if not (folder / "bin").exists():
            for place in ("data/local/tmp", "data/app", "sdcard/Android/data", "sys", "props", "bin"):
                (folder / place).mkdir(parents=True)
            # A link to itself: nobody gets anywhere through it, not even root, which the tests may run as.
            (folder / "data/data").symlink_to("data")
            (folder / "screen").write_text("on\n")
            for name, text in _PROGRAMS.items():
                program = folder / "bin" / name
                program.write_text(f"#!/bin/sh\n{text}\n")
                program.chmod(0o755)
            self.set_property("ro.product.manufacturer", "Stand-in")
            self.set_property("ro.product.model", "Phone 1")
            self.set_property("ro.build.version.release", "14")
            self.set_property("ro.product.cpu.abilist", "arm64-v8a,armeabi-v7a,armeabi")
            (folder / "thermal").write_text("IsStatusOverride: false\nThermal Status: 0\n")

    def path(self, name: str) -> Path:
        return self.folder / name.lstrip("/")

    def property(self, name: str) -> str:
        return (self.folder / "props" / name).read_text().strip()

    def set_property(self, name: str, value: str) -> None:
        (self.folder / "props" / name).write_text(value + "\n")

    def free_bytes(self) -> int:
        if self.capacity is None:
            return 1 << 40
        used = sum(file.stat().st_size for file in (self.folder / "data").rglob("*") if file.is_file())
        return max(0, self.capacity - used)

    def install(self, data: bytes) -> None:
        (self.folder / "installed").write_bytes(data)

    def start(self, command: str) -> Process:
        return Process(_ROOTS.sub(lambda found: f"{self.folder}{found[0]}", command), self.folder)


def in_androids_words(line: bytes) -> bytes:
    """A line of standard error as Android's shell and toybox would say it."""
    line = line.replace(b"Too many levels of symbolic links", REFUSED.encode())
    for pattern, words in _WORDS:
        line, found = re.subn(pattern, words, line.rstrip(b"\n"))
        line += b"\n"
        if found:
            break
    return line


class Process:
    """A command of the phone's shell."""

    def __init__(self, command: str, folder: Path) -> None:
        self._folder = str(folder).encode()
        environment = {
            **os.environ,
            "PATH": f"{folder}/bin:/usr/bin:/bin",
            "STANDIN": str(folder),
            "PYTHON": shlex.quote(sys.executable),
            "ANDROID": str(_ANDROID),
        }
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def lines(self, number: int) -> Iterator[bytes]:
        """Of standard output (1) or error (2)."""
        stream = self._process.stdout if number == 1 else self._process.stderr
        assert stream
        for line in stream:
            yield (
                in_androids_words(line.replace(self._folder, b""))
                if number == 2
                else line.replace(self._folder, b"")
            )
        stream.close()

    def wait(self) -> int:
        status = self._process.wait()
        return 128 - status if status < 0 else status

    def kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
