"""What files cost in Android's library, as text for a terminal. Nothing is computed here; see
vitconv.benchmarking.android_benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vitconv.benchmarking.android_benchmark import AndroidBenchmark, AndroidFile
from vitconv.cli.tables.layout import table, wrapped
from vitconv.runtimes.android.instruction_counts import CPUS, KINDS

_NOT_TIME = (
    "Instructions are not milliseconds: sixteen multiplications at once count as much as a jump, and waiting for "
    "memory counts nothing. But they are the same on every machine, and tell two files of one network apart."
)


def android_tables(result: AndroidBenchmark, width: int) -> str:
    """`vitconv benchmark --runtime android`: the files, the kinds of their instructions, and where they were
    counted, their operators."""
    files = result.files
    times = files[0].x86_64
    how = f"{times.threads} thread{'s' if times.threads > 1 else ''}, {times.runs} runs each, interleaved"
    cpus = [count.cpu for count in files[0].counts]
    lines = [
        wrapped(f"{result.runtime}; partitions also of {result.litert}", width),
        wrapped(f"arm64-v8a: million instructions for one image, counted under QEMU: {_described(cpus)}", width),
        wrapped(f"x86_64: milliseconds for one image on {result.machine}; {how}", width),
    ]
    folders = {Path(file.path).parent for file in files}
    if len(folders) == 1:
        lines.append(f"in {folders.pop()}")
    header = ["file"]
    for cpu in cpus:
        header += [f"M on {cpu}", "÷ float32"]
    header += ["x86_64 ms", "÷ float32", "delegated", "partitions", "LiteRT: delegated", "partitions"]
    lines.append(table(header, [_row(file, names) for file, names in _named(files)], width))
    for number, cpu in enumerate(cpus):
        lines += ["", f"Million instructions on {cpu}, by kind", _kinds(files, number, width)]
        if files[0].counts[number].operators is not None:
            lines += ["", f"Million instructions on {cpu}, by operator", _operators(files, number, width)]
    return "\n".join([*lines, "", wrapped(_NOT_TIME, width)])


def _described(cpus: Sequence[str]) -> str:
    return "; ".join(f"{cpu} ({CPUS[cpu]})" for cpu in cpus)


def _named(files: Sequence[AndroidFile]) -> Iterator[tuple[AndroidFile, str]]:
    """Each with its name where all are of one folder, else with its path."""
    several = len({Path(file.path).parent for file in files}) > 1
    for file in files:
        yield file, file.path if several else Path(file.path).name


def _row(file: AndroidFile, name: str) -> list[str]:
    cells = [name]
    for count, share in zip(file.counts, file.relative, strict=True):
        cells += [_millions(count.instructions), _share(share)]
    cells += [f"{file.x86_64.p50_ms:.2f}", _share(file.x86_64.relative)]
    for side in (file.android, file.litert):
        cells += [f"{side.delegated_nodes}/{side.nodes}", str(side.partitions)]
    return cells


def _kinds(files: Sequence[AndroidFile], number: int, width: int) -> str:
    rows = [
        [name, *(_millions(file.counts[number].by_kind[kind]) for kind in KINDS)] for file, name in _named(files)
    ]
    return table(["file", *(kind.replace("_", " ") for kind in KINDS)], rows, width)


def _operators(files: Sequence[AndroidFile], number: int, width: int) -> str:
    """A line an operator, the most expensive first, a column a file."""
    found = [file.counts[number].by_operator() for file in files]
    dearest = {
        name: max(each[name][1] for each in found if name in each)
        for name in dict.fromkeys(n for e in found for n in e)
    }
    rows = []
    for name in sorted(dearest, key=lambda name: -dearest[name]):
        cells = []
        for each in found:
            count, instructions = each.get(name, (0, 0))
            times = f" ×{count}" if count else ""
            cells.append(f"{_millions(instructions)}{times}" if name in each else "")
        rows.append([name, *cells])
    return table(["operator", *(file.scheme or name for file, name in _named(files))], rows, width)


def _millions(instructions: int) -> str:
    return f"{instructions / 1e6:.2f}"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2f}"
