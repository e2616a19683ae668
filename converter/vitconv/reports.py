"""Results as text for a terminal. Nothing is computed here.

`width` is how many columns there are; where a table is wider, its columns go into blocks below one another, and
long lines are broken at words. No number is ever cut.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitconv.benchmarking import Benchmark
    from vitconv.inspection import Inspection
    from vitconv.verification import Verification

_GAP = "  "


def printable(text: str) -> str:
    """`text` without control characters but line ends: names that come out of files could steer a terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> str:
    """Columns as wide as their widest cell; the first is text, the others align right.

    Where they don't all fit, further blocks of columns follow, each behind the first column again.
    """
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    blocks: list[list[int]] = [[]]
    left = width - widths[0]
    for column in range(1, len(header)):
        needed = len(_GAP) + widths[column]
        if needed > left and blocks[-1]:
            blocks.append([])
            left = width - widths[0]
        blocks[-1].append(column)
        left -= needed

    def format_line(cells: Sequence[str], block: list[int]) -> str:
        columns = [cells[0].ljust(widths[0]), *(cells[column].rjust(widths[column]) for column in block)]
        return _GAP.join(columns).rstrip()

    rule = ["-" * width for width in widths]
    return "\n\n".join(
        "\n".join(format_line(cells, block) for cells in (lines[0], rule, *lines[1:])) for block in blocks
    )


def wrapped(text: str, width: int, indent: str = "") -> str:
    """One paragraph, broken at words; all lines but the first begin with `indent`."""
    return textwrap.fill(
        text, max(width, 20), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def models_table(entries: Iterable[Mapping[str, Any]], width: int) -> str:
    """`vitconv models`."""
    rows = [
        (entry["name"], f"{entry['image']['height']}×{entry['image']['width']}", entry["summary"])
        for entry in entries
    ]
    names = max(len(row[0]) for row in rows)
    return "\n".join(
        wrapped(f"{name.ljust(names)}  {size:>7}  {summary}", width, "    ") for name, size, summary in rows
    )


def datasets_table(entries: Iterable[Mapping[str, Any]], width: int) -> str:
    """`vitconv datasets`."""
    rows = [
        (entry["name"], str(entry["version"]), str(entry["classes"]), _splits(entry["splits"]))
        for entry in entries
    ]
    return table(("data set", "version", "classes", "images"), rows, width)


def _splits(splits: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in splits.items())


def export_text(folder: Path, manifest: Mapping[str, Any], width: int) -> str:
    """`vitconv export`: the files of the folder."""
    rows = [(file["path"], f"{file['bytes'] / 1e6:.2f}") for file in manifest["files"]]
    return f"{folder}\n{table(('file', 'MB'), rows, width)}"


def inspection_text(file: Inspection, width: int) -> str:
    """`vitconv inspect`, one file."""
    lines = [f"{file.path}  {file.bytes / 1e6:.2f} MB  sha256 {file.sha256[:16]}…"]
    for what, tensors in (("input", file.inputs), ("output", file.outputs)):
        for tensor in tensors:
            shape = "×".join(map(str, tensor.shape))
            quantized = (
                f", scale {tensor.scale:.6g}, zero point {tensor.zero_point}" if tensor.scale is not None else ""
            )
            lines.append(f"  {what}: {tensor.name} {tensor.dtype} {shape}{quantized}")
    lines.append(
        f"  {file.op_count} ops, tensors of up to {file.max_rank} dimensions, needs TFLite {file.runtime_needed}"
    )
    counts = sorted(file.ops.items(), key=lambda item: -item[1]["count"])
    lines.append("  " + ", ".join(f"{info['count']} {name} v{info['version']}" for name, info in counts))
    if file.metadata:
        lines.append(f"  metadata: {file.metadata['name']}, {len(file.metadata['labels'])} labels")
    lines.extend(f"  problem: {problem}" for problem in file.problems)
    return "\n".join(wrapped(line, width, "    ") for line in lines)


def verification_table(result: Verification, width: int) -> str:
    """`vitconv verify`: accuracy and parity, and what failed."""
    reference = result.reference
    rows = [("Keras", "", f"{reference.top1:.2%}", f"{reference.top5:.2%}", "", "", "", "")]
    for file in result.files:
        psnr = "∞" if file.psnr_db is None else f"{file.psnr_db:.1f}"
        rows.append((
            file.scheme, "passed" if file.passed else "FAILED", f"{file.top1:.2%}", f"{file.top5:.2%}",
            f"{file.top1_drop:+.2f}", f"{file.agreement:.2%}", f"{file.max_abs_error:.1e}", psnr,
        ))  # fmt: skip
    header = ("scheme", "", "top-1", "top-5", "lost", "agreement", "max error", "PSNR dB")
    lines = [f"{result.dataset}, {result.examples} images", table(header, rows, width)]
    lines += [
        wrapped(f"{file.path} {'; '.join(file.reasons)}.", width, "    ")
        for file in result.files
        if not file.passed
    ]
    return "\n".join(lines)


def benchmark_table(result: Benchmark, width: int) -> str:
    """`vitconv benchmark`: milliseconds for one image."""
    folders = {Path(file.path).parent for file in result.files}
    rows = []
    for file in result.files:
        memory = "" if file.peak_memory_mb is None else f"{file.peak_memory_mb:.1f}"
        rows.append((
            Path(file.path).name if len(folders) == 1 else file.path,
            f"{file.p50_ms:.2f}", f"{file.p90_ms:.2f}", f"{file.p95_ms:.2f}", f"{file.init_ms:.0f}",
            f"{file.first_ms:.1f}", memory, f"{file.delegated_nodes}/{file.nodes}", str(file.partitions),
        ))  # fmt: skip
    header = ("file", "p50 ms", "p90", "p95", "init", "first", "peak MB", "delegated", "partitions")
    first = result.files[0]
    how = f"{first.threads} thread{'s' if first.threads > 1 else ''}, {first.runs} runs each, interleaved"
    lines = [wrapped(result.machine, width), wrapped(f"{result.runtime}; {how}", width)]
    if len(folders) == 1:
        lines.append(f"in {folders.pop()}")
    return "\n".join([*lines, table(header, rows, width)])
