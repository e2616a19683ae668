"""What `vitconv benchmark --json` wrote, read back: of this machine, of one phone, or of several phones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitconv.foundation import documents
from vitconv.foundation.errors import InputError


@dataclass(frozen=True)
class FileTimes:
    """One file in one setting; times in milliseconds, memory in MiB. None stands for what the document leaves out.

    A file has a median (`p50_ms`), a mean, or both, each above 0. `delegate` is what computed: this machine's
    documents name none, as the runtime there always uses XNNPACK. `quantiles_ms` are the 0th, 5th … 100th
    percentile.
    """

    path: str
    threads: int
    sha256: str | None = None
    delegate: str = "xnnpack"
    runs: int | None = None
    init_ms: float | None = None
    mean_ms: float | None = None
    p50_ms: float | None = None
    peak_memory_mb: float | None = None
    nodes: int | None = None
    delegated_nodes: int | None = None
    partitions: int | None = None
    delegated: str | None = None
    quantiles_ms: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        times = [time for time in (self.mean_ms, self.p50_ms) if time is not None]
        if not times or min(times) <= 0:
            raise ValueError(f"{self.path} has no time above 0")

    @property
    def name(self) -> str:
        """The file's name without the folders of the machine that timed it, which may have been another system."""
        return self.path.replace("\\", "/").rpartition("/")[2]

    @property
    def ms(self) -> float:
        """The median, else the mean."""
        return self.p50_ms or self.mean_ms or 0.0


@dataclass(frozen=True)
class Device:
    """The phone that a document is of."""

    serial: str


@dataclass(frozen=True)
class BenchmarkDocument:
    """Times of one machine. `runtime` is None where no program of the phone gave a time; `device` is None where
    the machine is a desktop."""

    machine: str
    runtime: str | None
    files: tuple[FileTimes, ...]
    device: Device | None = None

    @property
    def title(self) -> str:
        return f"{self.machine}, {self.runtime}" if self.runtime else self.machine


@dataclass(frozen=True)
class _Phones:
    """The document of several phones."""

    phones: tuple[BenchmarkDocument, ...]

    def __post_init__(self) -> None:
        if len(self.phones) > 1 and not all(phone.device for phone in self.phones):
            raise ValueError("it is of several phones and does not say which: `device` is missing")


def read(path: Path, remedy: str) -> tuple[BenchmarkDocument, ...]:
    """One document a machine: several where the file is of several phones.

    Raises InputError, which ends with `remedy`, where the file is missing, unreadable, or something else.
    """
    try:
        return documents.read(path, _build, "benchmark result", remedy)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"there is no file {path}. {remedy}") from None


def _build(value: Any) -> tuple[BenchmarkDocument, ...]:
    if isinstance(value, dict) and "phones" in value:
        return documents.convert(value, _Phones).phones
    return (documents.convert(value, BenchmarkDocument),)
