"""The demo app on phones: installing it, opening it, and the tasks it does without anybody touching it.

A task is an activity, started with what to do and an identifier; it writes a JSON document under that name into
the app's folder, and then one line to the log: "done ID ok", or "done ID failed REASON".
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

import msgspec

from vitconv.foundation import documents
from vitconv.foundation.errors import DeviceLostError, DeviceRunError, InputError, UnknownNameError
from vitconv.phone.device import apk
from vitconv.phone.device.adb import Adb, Phone
from vitconv.phone.device.parallel import on_each

Progress = Callable[[str, int, int], None]
Result = TypeVar("Result")

PACKAGE = "org.vitconv.demo"
DELEGATES = ("cpu", "xnnpack", "gpu", "nnapi")
# The app refuses more: TaskRequest.kt and RunOptions in Classifier.kt. A test compares.
MOST_RUNS, MOST_THREADS = 10_000, 64
_RESULTS = f"/sdcard/Android/data/{PACKAGE}/files/results"
_POLL_SECONDS = 0.5
_POLLS_WITHOUT_PROCESS = 6  # how often in turn the app may not be seen running before it counts as dead


class CheckedFile(msgspec.Struct, frozen=True):
    """A file of the app's self-test, as far as it is read here."""

    path: str
    scheme: str
    agreement: float
    max_abs_error: float
    images: int
    passed: bool
    reasons: tuple[str, ...]


class SelfTestDocument(msgspec.Struct, frozen=True):
    """What the app's self-test writes."""

    passed: bool
    files: tuple[CheckedFile, ...]


class TimedFile(msgspec.Struct, frozen=True):
    """A file of the app's benchmark, as far as it is read here."""

    path: str
    threads: int
    runs: int
    init_ms: float
    first_ms: float
    mean_ms: float
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    peak_memory_mb: float | None = None
    nodes: int | None = None
    delegated_nodes: int | None = None


class BenchmarkDocument(msgspec.Struct, frozen=True):
    """What the app's benchmark writes."""

    machine: str
    runtime: str
    files: tuple[TimedFile, ...]


@dataclass(frozen=True)
class BenchmarkTask:
    """What the app is to time: all its models, or one, on each of the delegates. Raises InputError."""

    delegates: tuple[str, ...] = ("xnnpack",)
    model: str | None = None
    threads: int = 1
    runs: int = 50
    timeout_s: float = 600

    def __post_init__(self) -> None:
        for name in self.delegates:
            if name not in DELEGATES:
                raise UnknownNameError("delegate of the app", name, DELEGATES)
        if not 1 <= self.threads <= MOST_THREADS:
            raise InputError(f"threads must be 1 to {MOST_THREADS}, not {self.threads}.")
        if not 1 <= self.runs <= MOST_RUNS:
            raise InputError(f"runs must be 1 to {MOST_RUNS}, not {self.runs}.")
        _check_timeout(self.timeout_s)


@dataclass(frozen=True)
class Done:
    """Something done with the app on one phone, or the problem that kept it from being done."""

    serial: str
    done: str | None
    problem: str | None

    def __str__(self) -> str:
        return f"{self.serial}: {self.done or 'failed'}"

    def to_json(self) -> dict[str, str | None]:
        return {"serial": self.serial, "done": self.done, "problem": self.problem}


@dataclass(frozen=True)
class TaskResult:
    """What one phone's app gave: its document, with the phone's serial in `device`, or None, and why."""

    serial: str
    document: dict[str, Any] | None
    problem: str | None

    def to_json(self) -> dict[str, Any]:
        """The app's document, and `problems`; without a document an empty one that has not passed."""
        nothing = {"device": {"serial": self.serial}, "passed": False, "files": []}
        return {**(self.document or nothing), "problems": [self.problem] if self.problem else []}


def install(path: Path, device: str) -> list[Done]:
    """Installs an APK, or the one of a folder that fits each phone. Raises InputError where none fits."""
    if not path.is_dir():
        apk.abis(path)  # what is no APK is named before a phone is looked for
    adb = Adb()

    def one(phone: Phone) -> Done:
        try:
            chosen = apk.choose(path, phone.device)
            said = phone.install(chosen)
        except DeviceRunError as error:
            return Done(phone.serial, None, str(error))
        if "Success" in said.split():
            return Done(phone.serial, f"installed {chosen.name} on {phone.device}", None)
        return Done(phone.serial, None, f"{phone.serial} did not install {chosen.name}: {apk.refusal(said)}.")

    return on_each(adb, adb.phones(device), one)


def open_app(device: str) -> list[Done]:
    """Opens the app as its icon does."""
    adb = Adb()

    def one(phone: Phone) -> Done:
        try:
            _start(
                phone,
                ["-a", "android.intent.action.MAIN", "-c", "android.intent.category.LAUNCHER", "-p", PACKAGE],
            )
        except DeviceRunError as error:
            return Done(phone.serial, None, str(error))
        return Done(phone.serial, f"opened {PACKAGE}", None)

    return on_each(adb, adb.phones(device), one)


def benchmark_in_app(task: BenchmarkTask, device: str, progress: Progress) -> list[TaskResult]:
    """The app's own figures, one document a phone with the files of all delegates."""
    adb = Adb()
    phones = adb.phones(device)
    total, done = len(phones) * len(task.delegates), []

    def one(phone: Phone) -> TaskResult:
        whole: dict[str, Any] | None = None
        for delegate in task.delegates:
            words = [
                "--ei",
                "threads",
                str(task.threads),
                "--ei",
                "runs",
                str(task.runs),
                "--es",
                "delegate",
                delegate,
            ]
            words += ["--es", "model", task.model] if task.model else []
            try:
                document = _run_task(adb, phone, "benchmark", words, task.timeout_s)
                _check(document, BenchmarkDocument)
            except DeviceRunError as error:
                return TaskResult(phone.serial, whole, str(error))
            for file in document["files"]:
                file.setdefault("delegate", delegate)
            if whole is None:
                whole = {**document, "delegate": []}
            else:
                whole["files"] += document["files"]
            whole["delegate"].append(delegate)
            done.append(phone.serial)
            progress("benchmarking in the app", len(done), total)
        return TaskResult(phone.serial, whole, None)

    progress("benchmarking in the app", 0, total)
    return on_each(adb, phones, one)


def selftest(timeout_s: float, device: str, progress: Progress) -> list[TaskResult]:
    """What the app finds when it runs its golden images."""
    _check_timeout(timeout_s)
    adb = Adb()
    phones = adb.phones(device)

    def one(phone: Phone) -> TaskResult:
        try:
            document = _run_task(adb, phone, "selftest", [], timeout_s)
            _check(document, SelfTestDocument)
        except DeviceRunError as error:
            return TaskResult(phone.serial, None, str(error))
        return TaskResult(phone.serial, document, None)

    progress("self-test in the app", 0, len(phones))
    return on_each(adb, phones, one)


def _run_task(adb: Adb, phone: Phone, task: str, words: list[str], seconds: float) -> dict[str, Any]:
    """Starts a task, waits for its line in the log, and fetches its document. Raises DeviceRunError."""
    name = str(uuid.uuid4())
    where = ["-n", f"{PACKAGE}/.TaskActivity", "--es", "task", task, "--es", "id", name]
    try:
        _start(phone, [*where, *words])
        said = _wait(adb, phone, name, seconds)
        data = phone.pull(f"{_RESULTS}/{name}.json")
        phone.shell(f"rm -f {_RESULTS}/{name}.json")
    except BaseException as error:
        if not isinstance(error, DeviceLostError):
            with suppress(DeviceRunError):
                phone.shell(f"am force-stop {PACKAGE}; rm -f {_RESULTS}/{name}.json", last=True)
        raise
    if said != "ok":
        raise DeviceRunError(
            f"the app on {phone.serial} could not do the {task}: {said.removeprefix('failed').strip()}."
        )
    if data is None:
        raise DeviceRunError(
            f"the app on {phone.serial} reported that the {task} is done, but wrote no result. Run the command "
            "again."
        )
    try:
        document: Any = documents.parse(data)
        if not isinstance(document, dict):
            raise InputError("it is no JSON object.")
    except InputError as error:
        raise DeviceRunError(f"the result of the {task} on {phone.serial} cannot be read: {error}") from error
    told = document.get("device")
    document["device"] = {**(told if isinstance(told, dict) else {}), **phone.device.to_json()}
    return document


def _start(phone: Phone, words: list[str]) -> None:
    if not phone.shell(f"pm path {PACKAGE}").out.strip().startswith("package:"):
        raise DeviceRunError(f"the app is not installed on {phone.serial}. Install it with `vitconv app install`.")
    ended = phone.shell("am start " + " ".join(map(quote, words)), 60)
    said = f"{ended.out}\n{ended.err}"
    error = re.search(r"^\s*(?:Error|Exception)\b.*$", said, re.MULTILINE)
    if ended.status or error:
        reasons = re.findall(r"^\s*(Error: .*)$", said, re.MULTILINE) or [error[0] if error else said]
        raise DeviceRunError(
            f"the app on {phone.serial} cannot be started: {reasons[-1].strip()}. Install the app of "
            "this version with `vitconv app install`."
        )


def _wait(adb: Adb, phone: Phone, name: str, seconds: float) -> str:
    """ "ok", or "failed" and a reason, as the app says in the log."""
    end, unseen = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        said = phone.shell(f"logcat -d -v raw -s vitconv:V; echo; echo pid:$(pidof {PACKAGE})", 30).out
        for line in said.splitlines():
            words = line.strip().removeprefix(f"done {name} ")
            if words != line.strip():
                return words
        unseen = 0 if re.search(r"pid:[0-9]", said) else unseen + 1
        if unseen >= _POLLS_WITHOUT_PROCESS:
            raise DeviceRunError(f"the app on {phone.serial} died{_crash(phone)}.")
        if adb.stopped.wait(_POLL_SECONDS):
            raise KeyboardInterrupt
    raise DeviceRunError(
        f"the app on {phone.serial} was not done within {seconds:g} s, and was stopped. Allow more with --timeout."
    )


def _crash(phone: Phone) -> str:
    """What Android noted about it, if it did."""
    lines = phone.shell("logcat -d -b crash -v raw -t 60", 30).out.splitlines()
    telling = [line.strip() for line in lines if re.search(r"Exception|Error|signal \d+", line)]
    return f": {telling[-1][:300]}" if telling else ""


def _check(document: dict[str, Any], structure: type[msgspec.Struct]) -> None:
    """Raises DeviceRunError where a document of the app lacks something that is read here."""
    try:
        documents.convert(document, structure)
    except InputError as error:
        raise DeviceRunError(
            f"the app's result is not as this version expects: {error} Install this version's app."
        ) from error


def _check_timeout(seconds: float) -> None:
    if not 1 <= seconds <= 86_400:
        raise InputError(f"timeout must be 1 to 86400, not {seconds:g}.")
