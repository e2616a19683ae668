"""Android's programs that the stand-in phone has, as far as vitconv asks them: `python android.py PROGRAM WORDS…`.

The log is the phone's file `log`, a JSON list a line: [buffer, level, tag, process, text]. Lines quieter
than the property log.tag.TAG, or log.tag, are not kept, as on phones whose makers drop them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

PACKAGE = "org.vitconv.demo"
_LEVELS = "VDIWEFS"
_ACTIVITIES = (".MainActivity", ".TaskActivity")
_OPTIONS = ("-n", "-a", "-c", "-p", "-d", "-t", "-f")  # of `am start`, each with a word after it
_EXTRAS = ("--es", "--ei", "--ez")


def write_log(phone: Path, level: str, tag: str, text: str, buffer: str = "main", process: int = 0) -> None:
    """Adds a line to the log, unless the phone keeps only louder ones."""
    least = _property(phone, f"log.tag.{tag}") or _property(phone, "log.tag") or "V"
    if _LEVELS.index(level) < _LEVELS.index(least[0]):
        return
    with (phone / "log").open("a") as stream:
        stream.write(json.dumps([buffer, level, tag, process or os.getpid(), text]) + "\n")


def logcat(phone: Path, words: list[str]) -> int:
    """-d -c -s, -b BUFFERS, -v raw|brief|threadtime, -t LINES, --pid=N, and TAG:LEVEL as filters."""
    buffers, form, newest, process, dump = {"main", "system", "crash"}, "threadtime", None, None, False
    filters: dict[str, str] = {}
    given = iter(words)
    for word in given:
        if word == "-c":
            (phone / "log").unlink(missing_ok=True)
            return 0
        if word == "-d":
            dump = True
        elif word == "-s":
            filters["*"] = "S"
        elif word == "-b":
            buffers = set(next(given).split(","))
        elif word == "-v":
            form = next(given)
        elif word == "-t":
            newest, dump = int(next(given)), True
        elif word.startswith("--pid="):
            process = int(word.removeprefix("--pid="))
        elif re.fullmatch(r"(\*|\w[\w.-]*)(:[VDIWEFS])?", word):
            tag, _, level = word.partition(":")
            filters[tag] = level or ("D" if tag == "*" else "V")
        else:
            print(f"logcat: Unknown option {word}", file=sys.stderr)
            return 1
    if not dump:
        print("logcat: the stand-in does not wait for more: give -d", file=sys.stderr)
        return 1
    file = phone / "log"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    seen: set[str] = set()
    kept = [line for line in lines if line[0] in buffers and process in (None, line[3])]
    kept = [
        line
        for line in kept
        if _LEVELS.index(line[1]) >= _LEVELS.index(filters.get(line[2], filters.get("*", "V")))
    ]
    for buffer, level, tag, pid, text in kept[-newest:] if newest else kept:
        if buffer not in seen:
            print(f"--------- {'switch to' if seen else 'beginning of'} {buffer}")
            seen.add(buffer)
        before = {"raw": "", "brief": f"{level}/{tag}({pid:5}): "}
        print(before.get(form, f"11-30 12:00:00.000 {pid:5} {pid:5} {level} {tag:8}: ") + text)
    return 0


def am(phone: Path, words: list[str]) -> int:
    """start and force-stop."""
    if words[:1] == ["force-stop"]:
        if words[1:] == [PACKAGE]:
            for process in running(phone):
                with suppress(ProcessLookupError):
                    os.killpg(process, signal.SIGKILL)
            (phone / "app.pid").unlink(missing_ok=True)
            write_log(phone, "I", "ActivityManager", f"Force stopping {PACKAGE}", "system")
        return 0  # of an app that is not there Android says nothing
    if words[:1] != ["start"]:
        print(f"Error: unknown command '{' '.join(words[:1])}'", file=sys.stderr)
        return 255
    (phone / "am.arguments").write_text("\n".join(words) + "\n")
    component, given = f"{PACKAGE}/.MainActivity", iter(words[1:])
    for word in given:
        if word in _EXTRAS:
            _, value = next(given), next(given)
            if word == "--ei" and not re.fullmatch(r"-?[0-9]+", value):
                print(f'java.lang.NumberFormatException: For input string: "{value}"', file=sys.stderr)
                return 255
        elif word in _OPTIONS:
            value = next(given)
            component = value if word == "-n" else component
        else:
            print(f"Error: Unknown option: {word}")
            return 1
    name = component.partition("/")[2].removeprefix(PACKAGE)
    print(f"Starting: Intent {{ cmp={component}{' (has extras)' if '--es' in words else ''} }}")
    if not (phone / "installed").exists() or name not in _ACTIVITIES:
        print(f"Error type 3\nError: Activity class {{{component.replace('/.', f'/{PACKAGE}.')}}} does not exist.")
        return 1
    if running(phone):
        print(
            "Warning: Activity not started, intent has been delivered to currently running top-most instance.",
            file=sys.stderr,
        )
    if not (phone / "app.py").exists() or name != ".TaskActivity":
        return 0
    with (phone / "app.log").open("a") as log:
        started = subprocess.Popen(
            [sys.executable, str(phone / "app.py"), *words],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    with (phone / "app.pid").open("a") as stream:
        stream.write(f"{started.pid}\n")
    return 0


def pidof(phone: Path, words: list[str]) -> int:
    found = running(phone) if words == [PACKAGE] else []
    if found:
        print(*found)
    return 0 if found else 1


def running(phone: Path) -> list[int]:
    """The processes of the app that have not ended."""
    file = phone / "app.pid"
    alive = []
    for process in map(int, file.read_text().split()) if file.exists() else ():
        with suppress(OSError):
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
            alive += [process] if state != "Z" else []
    return alive


def _property(phone: Path, name: str) -> str:
    file = phone / "props" / name
    return file.read_text().strip() if file.exists() else ""


if __name__ == "__main__":
    sys.exit({"am": am, "logcat": logcat, "pidof": pidof}[sys.argv[1]](Path(os.environ["STANDIN"]), sys.argv[2:]))
