"""The inside of the stand-in phone: a folder as its file system, and a handful of Android's programs.

Commands run in this machine's `sh`, with the phone's absolute paths (/data, /sdcard, /sys) pointing into the
folder, and the folder's name taken out of what they print. The programs are small scripts over plain files, which
tests write:

    props/NAME            what getprop says
    thermal               what dumpsys thermalservice says
    installed             there where org.vitconv.demo is installed
    app.py                what `am start` runs for the app's task, in the background (see app.py)
    log                   what logcat says
    taskset.log           the masks that taskset was given
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
    "logcat": 'cat "$STANDIN/log" 2>/dev/null; exit 0',
    "pidof": '[ "$1" = org.vitconv.demo ] && pid=$(cat "$STANDIN/app.pid") && kill -0 "$pid" && echo "$pid"',
    "pm": """
case "$1" in
    path) [ -e "$STANDIN/installed" ] && echo "package:/data/app/org.vitconv.demo/base.apk" ;;
    install) shift; for file; do :; done; cp "$file" "$STANDIN/installed" && echo Success ;;
esac""",
    "am": """
printf '%s\\n' "$@" > "$STANDIN/am.arguments"
if [ ! -e "$STANDIN/installed" ]; then
    echo "Error type 3"; echo "Error: Activity class does not exist."; exit 1
fi
echo "Starting: Intent { }"
[ -e "$STANDIN/app.py" ] || exit 0
setsid $PYTHON "$STANDIN/app.py" "$@" < /dev/null > "$STANDIN/app.log" 2>&1 &
echo $! > "$STANDIN/app.pid"
""",
}
_ROOTS = re.compile(r"(?<![\w.-])/(?:data|sdcard|sys)/")  # where a path begins, not in its middle


class System:
    """`free` is how many bytes its storage still takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.capacity: int | None = None
        if not (folder / "bin").exists():
            for place in ("data/local/tmp", "data/app", "sdcard/Android/data", "sys", "props", "bin"):
                (folder / place).mkdir(parents=True)
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


class Process:
    """A command of the phone's shell."""

    def __init__(self, command: str, folder: Path) -> None:
        self._folder = str(folder).encode()
        environment = {
            **os.environ,
            "PATH": f"{folder}/bin:/usr/bin:/bin",
            "STANDIN": str(folder),
            "PYTHON": shlex.quote(sys.executable),
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
            yield line.replace(self._folder, b"")
        stream.close()

    def wait(self) -> int:
        status = self._process.wait()
        return 128 - status if status < 0 else status

    def kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
