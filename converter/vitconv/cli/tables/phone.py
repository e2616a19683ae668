"""Results from phones as text for a terminal. Nothing is computed here; see vitconv.phone.phone_results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitconv.cli.tables.layout import table, wrapped
from vitconv.phone.phone_results import PhoneBenchmark, PhoneTiming

_HEADER = (
    "file", "delegate", "threads", "mean ms", "p50", "p95", "min", "max", "init", "first", "peak MB", "grown MB",
    "delegated", "partitions",
)  # fmt: skip


def phones_table(results: Sequence[PhoneBenchmark], width: int) -> str:
    """`vitconv benchmark --device`: one table, whatever the number of phones."""
    several = len(results) > 1
    lines, rows, notes = [], [], []
    for result in results:
        serial = result.device.serial
        digest = f"; the tool's SHA-256: {result.tool_sha256}" if result.tool_sha256 else ""
        head = f"{serial}: {result.device}; {result.tool or 'no tool'}; {result.harness}{digest}"
        lines.append(wrapped(head, width, "    "))
        for timing in result.files:
            row = _row(timing)
            rows.append((row[0], serial, *row[1:]) if several else row)
        notes += [f"{serial}: {note}" if several else note for note in _notes(result)]
    header = (_HEADER[0], "phone", *_HEADER[1:]) if several else _HEADER
    if rows:
        lines.append(table(header, rows, width))
    lines += [wrapped(note, width, "    ") for note in notes]
    return "\n".join(lines)


def documents_table(documents: Sequence[dict[str, Any]], width: int) -> str:
    """`vitconv app benchmark`: the app's documents, as it gives them."""
    lines, rows, notes = [], [], []
    for document in documents:
        device = document["device"]
        lines.append(wrapped(f"{device['serial']}: {document['machine']}; {document['runtime']}", width, "    "))
        for one in document["files"]:
            delegated = "?" if one["nodes"] is None else f"{one['delegated_nodes']}/{one['nodes']}"
            rows.append((
                Path(one["path"]).name, device["serial"], str(one["delegate"]), str(one["threads"]),
                _ms(one["mean_ms"]), _ms(one["p50_ms"]), _ms(one["p95_ms"]), _ms(one["init_ms"]),
                _ms(one["first_ms"]), _ms(one["peak_memory_mb"]), delegated,
            ))  # fmt: skip
            if one.get("note"):
                notes.append(f"{device['serial']}: {one['note']}.")
    header = (
        "file", "phone", "delegate", "threads", "mean ms", "p50", "p95", "init", "first", "peak MB", "delegated",
    )  # fmt: skip
    return "\n".join([*lines, table(header, rows, width), *(wrapped(note, width, "    ") for note in notes)])


def selftest_text(documents: Sequence[dict[str, Any]], width: int) -> str:
    """`vitconv app selftest`: what the app found about the models in it."""
    lines, rows, reasons = [], [], []
    for document in documents:
        device = document["device"]
        lines.append(f"{device['serial']}: {device['model']}, Android {device['android']}, {device['abi']}")
        for one in document["files"]:
            rows.append((
                Path(one["path"]).name, device["serial"], "passed" if one["passed"] else "FAILED",
                str(one["images"]), f"{one['agreement']:.2%}", f"{one['max_abs_error']:.1e}",
            ))  # fmt: skip
            if not one["passed"]:
                reasons.append(f"{device['serial']}: {one['path']} {'; '.join(one['reasons'])}.")
    header = ("file", "phone", "", "images", "agreement", "max error")
    return "\n".join([*lines, table(header, rows, width), *(wrapped(reason, width, "    ") for reason in reasons)])


def _row(timing: PhoneTiming) -> tuple[str, ...]:
    return (
        Path(timing.path).name, timing.delegate, str(timing.threads), _ms(timing.mean_ms), _ms(timing.p50_ms),
        _ms(timing.p95_ms), _ms(timing.min_ms), _ms(timing.max_ms), _ms(timing.init_ms), _ms(timing.first_ms),
        _ms(timing.peak_memory_mb), _ms(timing.memory_growth_mb), _delegated(timing),
        "" if timing.partitions is None else str(timing.partitions),
    )  # fmt: skip


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _delegated(timing: PhoneTiming) -> str:
    if timing.delegated_nodes is not None:
        total = "?" if timing.nodes is None else str(timing.nodes)
        return f"{timing.delegated_nodes}/{total}"
    return timing.delegated or ("" if timing.delegate == "cpu" else "?")


def _notes(result: PhoneBenchmark) -> list[str]:
    """What must not be overlooked about the figures, one note for all files that it is true of."""
    notes: dict[str, list[str]] = {}
    for timing in result.files:
        for note in _notes_on(timing):
            names = notes.setdefault(note, [])
            if Path(timing.path).name not in names:
                names.append(Path(timing.path).name)
    return [f"{note} ({', '.join(names)})" for note, names in notes.items()]


def _notes_on(timing: PhoneTiming) -> list[str]:
    notes = [*timing.notes]
    if timing.delegate == "cpu":
        if timing.delegated_nodes:
            notes.append("cpu: a delegate took part all the same, so these are not the plain kernels' times")
    elif timing.delegated == "none":
        notes.append(f"{timing.delegate} TOOK NOTHING: these are the processor's times")
    elif timing.delegated is None:
        notes.append(f"{timing.delegate}: the tool did not say what the delegate took")
    hot = [status for status in timing.thermal if status not in (None, "none")]
    if hot:
        notes.append(
            f"{timing.delegate}: the phone was hot, thermal status {hot[-1]}, and may have been slowed down"
        )
    return notes
