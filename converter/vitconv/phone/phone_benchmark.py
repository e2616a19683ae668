"""Times .tflite files on phones with benchmark_model, through adb.

Every model runs with every number of threads on every delegate, in rounds: each round runs every combination
once, in an order that changes, with a pause before each, so that heat and whatever else disturbs the phone hit
all alike. A combination that crashes or hangs is left out of the later rounds and reported; when the phone goes,
what was measured until then is the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vitconv._version import __version__
from vitconv.benchmarking.benchmark import MOST_RUNS, model_files, round_order
from vitconv.foundation.disk import files
from vitconv.foundation.errors import DeviceLostError, DeviceRunError, InputError
from vitconv.foundation.progress import Progress
from vitconv.phone import benchmark_model, profile
from vitconv.phone.benchmark_output import Log, parse
from vitconv.phone.conditions import BIG, cpu_mask, thermal_status
from vitconv.phone.device import tool_file
from vitconv.phone.device.adb import Adb, Device, NotFinishedError, Phone
from vitconv.phone.device.endings import ending, last_words
from vitconv.phone.device.parallel import on_each
from vitconv.phone.device.phone_folder import PhoneFolder, Pushed
from vitconv.phone.phone_results import Case, PhoneBenchmark, Problem, Round, phone_timing
from vitconv.runtimes.process import MOST_THREADS

_ROUNDS = 3


@dataclass(frozen=True)
class PhoneBenchmarkConfig:
    """`paths` as in BenchmarkConfig; `device` a serial, "all", or "" for the only phone.

    Every file runs with each of `threads` on each of `delegates` (see benchmark_model.DELEGATES), at least `runs`
    times over all rounds. `binary` is the benchmark_model to use, else one is found; `accept_changed` takes one
    that is no longer what it was at its address (see tool_file). `cpu_mask` is a `taskset`
    mask, or "big". `cooldown_s` is the pause before each run of the tool, `timeout_s` how long one may take.
    `profile` is a folder for each operator's times. Raises InputError for what is out of range.
    """

    paths: tuple[Path, ...]
    device: str = ""
    threads: tuple[int, ...] = (1,)
    runs: int = 50
    delegates: tuple[str, ...] = ("xnnpack",)
    binary: Path | None = None
    accept_changed: bool = False
    cpu_mask: str | None = None
    cooldown_s: float = 5
    timeout_s: float = 300
    keep: bool = False
    profile: Path | None = None

    def __post_init__(self) -> None:
        if not self.paths:
            raise InputError("there is nothing to benchmark. Give .tflite files, or a folder that holds some.")
        for threads in self.threads:
            _in_range("threads", threads, 1, MOST_THREADS)
        _in_range("runs", self.runs, 1, MOST_RUNS)
        _in_range("cooldown", self.cooldown_s, 0, 3600)
        _in_range("timeout", self.timeout_s, 2, 86_400)
        for name in self.delegates:
            benchmark_model.check_delegate(name)
        if self.cpu_mask not in (None, BIG):
            benchmark_model.check_mask(str(self.cpu_mask))


def benchmark_phones(config: PhoneBenchmarkConfig, progress: Progress | None = None) -> list[PhoneBenchmark]:
    """One result a phone, all phones at once. What failed there is in the results; see PhoneBenchmark.problems.

    Raises DeviceError where no phone can be used, InputError and MissingToolError for what cannot be measured
    with this tool, all before anything is measured.
    """
    tell = progress or (lambda what, done, total: None)
    models = [(path, files.sha256(path)) for path in model_files(config.paths)]
    if config.profile is not None:
        files.writable_directory(config.profile)
    adb = Adb()
    phones = adb.phones(config.device)
    sessions = [_Session(config, adb, phone, models) for phone in phones]
    total = sum(session.steps for session in sessions)

    def step() -> None:
        where = phones[0].serial if len(phones) == 1 else f"{len(phones)} phones"
        tell(f"benchmarking on {where}", sum(session.done for session in sessions), total)

    try:
        on_each(adb, sessions, lambda session: session.prepare(tell if len(phones) == 1 else None))
        step()
        on_each(adb, sessions, lambda session: session.measure(step))
    finally:
        on_each(adb, sessions, _Session.tidy)
    return [session.result() for session in sessions]


class _Session:
    """The work on one phone."""

    def __init__(
        self, config: PhoneBenchmarkConfig, adb: Adb, phone: Phone, models: list[tuple[Path, str]]
    ) -> None:
        self._config, self._adb, self._phone = config, adb, phone
        self._folder = PhoneFolder(phone)
        self._cases = [
            Case(path, digest, f"{digest[:16]}.tflite", threads, delegate)
            for path, digest in models
            for threads in config.threads
            for delegate in config.delegates
        ]
        self._rounds: dict[Case, list[Round]] = {case: [] for case in self._cases}
        self._problems: list[Problem] = []
        self._pushed = Pushed()
        self._tool: benchmark_model.Tool | None = None
        self._tool_file: tool_file.ToolFile | None = None
        self._mask: str | None = None
        self._device = Device(phone.serial, "unknown", "unknown", "unknown", ())
        self._touched = self._lost = False
        self.done = 0

    @property
    def steps(self) -> int:
        return len(self._cases) * self._round_count

    @property
    def _round_count(self) -> int:
        return min(_ROUNDS, self._config.runs)

    def prepare(self, tell: Progress | None) -> None:
        """Sends the tool and the models, and finds out which tool it is; InputError for what it cannot do."""
        with self._noting():
            self._device = self._phone.device
            self._tool_file = tool_file.find(self._config.binary, self._device, self._config.accept_changed)
            self._program = f"benchmark_model-{self._tool_file.sha256[:16]}"
            wanted = {self._program: (self._tool_file.path, self._tool_file.sha256)}
            wanted |= {case.remote: (case.path, case.sha256) for case in self._cases}
            self._touched = True
            self._pushed = self._folder.put(
                wanted,
                lambda done, total: tell(f"sending to {self._phone.serial}", done, total) if tell else None,
            )
            ended = self._folder.run(self._program, ["--help"], None, 30)
            self._tool = benchmark_model.identify(f"{ended.out}\n{ended.err}", ended.status)
            for delegate in self._config.delegates:
                self._arguments(Case(Path(), "", "", 1, delegate))
            if self._config.profile is not None:
                benchmark_model.profile_arguments(self._tool, "")
            self._mask = cpu_mask(self._phone, self._config.cpu_mask)

    def measure(self, step: Callable[[], None]) -> None:
        """All rounds, then the profiles; ends early where the phone is lost."""
        if self._problems:
            return
        with self._noting():
            for number in range(self._round_count):
                for index in round_order(len(self._cases), number):
                    case = self._cases[index]
                    if not any(problem.is_about(case) for problem in self._problems):
                        self._run_once(case)
                    self.done += 1
                    step()
            if self._config.profile is not None:
                for case in self._cases:
                    self._profile(case, self._config.profile)

    def tidy(self) -> None:
        """Leaves nothing on the phone, unless that is wanted."""
        if self._touched and not self._lost and not self._config.keep:
            with self._noting():
                self._folder.remove()

    def result(self) -> PhoneBenchmark:
        return PhoneBenchmark(
            device=self._device,
            tool=self._tool.name if self._tool else None,
            tool_sha256=self._tool_file.sha256 if self._tool_file else None,
            tool_source=self._tool_file.source if self._tool_file else None,
            harness=f"vitconv {__version__}, {self._round_count} interleaved rounds of benchmark_model over adb",
            delegates=self._config.delegates,
            cpu_mask=self._mask,
            cooldown_s=self._config.cooldown_s,
            pushed=self._pushed,
            files=tuple(phone_timing(case, rounds) for case, rounds in self._rounds.items() if rounds),
            problems=tuple(self._problems),
        )

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Makes what fails on the phone one of its problems."""
        try:
            yield
        except DeviceRunError as error:
            self._lost = self._lost or isinstance(error, DeviceLostError)
            self._problems.append(Problem(None, None, None, str(error)))

    def _run_once(self, case: Case) -> None:
        if self._adb.stopped.wait(self._config.cooldown_s):
            raise KeyboardInterrupt
        before = thermal_status(self._phone)
        try:
            log, note = self._run_tool(case, [])
        except DeviceLostError:
            raise
        except DeviceRunError as error:
            self._problems.append(case.problem(str(error)))
            return
        self._rounds[case].append(Round(log, before, thermal_status(self._phone), note))

    def _run_tool(self, case: Case, more: list[str]) -> tuple[Log, str | None]:
        """One run, to a result that can be read; DeviceRunError otherwise.

        A run that printed its whole result and then crashed or hung on its way out did measure what it says: such
        a result comes with a note.
        """
        arguments = [*self._arguments(case), *more]
        try:
            ended = self._folder.run(self._program, arguments, self._mask, self._config.timeout_s)
            text = f"{ended.out}\n{ended.err}"
            how = ending(ended.status) if ended.status else None
        except NotFinishedError as error:
            text, how = error.printed, "did not end by itself"
            if parse(text).result is None:
                raise
        log = parse(text)
        if log.unconsumed:
            raise DeviceRunError(f"benchmark_model ignored flags that it does not know: {log.unconsumed[:200]}")
        if log.result is None:
            what = how or "gave no result that can be read"
            raise DeviceRunError(f"benchmark_model {what}{last_words(text)}")
        return log, f"after a complete result, benchmark_model {how}" if how else None

    def _arguments(self, case: Case) -> list[str]:
        assert self._tool
        runs = -(-self._config.runs // self._round_count)
        # The tool ends by itself in half the time, so that only a run that hangs is stopped.
        most = max(1, int(self._config.timeout_s / 2))
        return benchmark_model.arguments(self._tool, case.remote, case.threads, runs, most, case.delegate)

    def _profile(self, case: Case, folder: Path) -> None:
        if any(problem.is_about(case) for problem in self._problems):
            return
        assert self._tool
        try:
            self._phone.shell(f"rm -f {profile.REMOTE}")  # what --keep left of an earlier one
            self._run_tool(case, benchmark_model.profile_arguments(self._tool, profile.REMOTE))
            data = self._phone.pull(profile.REMOTE)
            operators = profile.parse((data or b"").decode(errors="replace"))
            if not operators:
                raise DeviceRunError("benchmark_model wrote no operator profile that can be read")
        except DeviceLostError:
            raise
        except DeviceRunError as error:
            self._problems.append(case.problem(str(error)))
            return
        title = f"{case.path.stem}-{case.delegate}-{case.threads}t"
        where = f"{self._device}, {case.delegate}, {case.threads} threads"
        profile.write(folder, f"{title}-{self._device.serial}", where, operators)


def _in_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise InputError(f"{name} must be {least:g} to {most:g}, not {value:g}.")
