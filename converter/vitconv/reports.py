"""Results as tables for a terminal. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitconv.benchmarking import Benchmark
    from vitconv.inspection import Inspection
    from vitconv.verification import Verification


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first is text, the others align right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]

    def format_line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        return "  ".join([first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))])

    return "\n".join(
        [format_line(header), "  ".join("-" * width for width in widths), *map(format_line, lines[1:])]
    )


def models_table(entries: Iterable[Mapping[str, Any]]) -> str:
    """`vitconv models`."""
    rows = [
        (entry["name"], f"{entry['image']['height']}×{entry['image']['width']}", entry["summary"])
        for entry in entries
    ]
    names = max(len(row[0]) for row in rows)
    return "\n".join(f"{name.ljust(names)}  {size:>7}  {summary}" for name, size, summary in rows)


def datasets_table(entries: Iterable[Mapping[str, Any]]) -> str:
    """`vitconv datasets`."""
    rows = [
        (entry["name"], str(entry["version"]), f"{entry['classes']} classes", ", ".join(entry["splits"]))
        for entry in entries
    ]
    return table(("data set", "version", "labels", "splits"), rows)


def inspection_text(file: Inspection) -> str:
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
    return "\n".join(lines)


def verification_table(result: Verification) -> str:
    """`vitconv verify`: accuracy and parity, and what failed."""
    reference = result.reference
    rows = [("Keras", f"{reference.top1:.2%}", f"{reference.top5:.2%}", "", "", "", "", "")]
    for file in result.files:
        psnr = "∞" if file.psnr_db is None else f"{file.psnr_db:.1f}"
        rows.append((
            file.scheme, f"{file.top1:.2%}", f"{file.top5:.2%}", f"{file.top1_drop:+.2f}", f"{file.agreement:.2%}",
            f"{file.max_abs_error:.1e}", psnr, "passed" if file.passed else "FAILED",
        ))  # fmt: skip
    header = ("scheme", "top-1", "top-5", "lost", "agreement", "max error", "PSNR dB", "")
    text = f"{result.dataset}, {result.examples} images\n{table(header, rows)}"
    reasons = [f"\n{file.path} {'; '.join(file.reasons)}." for file in result.files if not file.passed]
    return text + "".join(reasons)


def benchmark_table(result: Benchmark) -> str:
    """`vitconv benchmark`: milliseconds for one image."""
    rows = []
    for file in result.files:
        memory = "" if file.peak_memory_mb is None else f"{file.peak_memory_mb:.1f}"
        rows.append((
            file.path, f"{file.p50_ms:.2f}", f"{file.p90_ms:.2f}", f"{file.p95_ms:.2f}", f"{file.init_ms:.0f}",
            f"{file.first_ms:.1f}", memory, f"{file.delegated_nodes}/{file.nodes}", str(file.partitions),
        ))  # fmt: skip
    header = ("file", "p50 ms", "p90", "p95", "init", "first", "peak MB", "delegated", "partitions")
    first = result.files[0]
    how = f"{first.threads} thread{'s' if first.threads > 1 else ''}, {first.runs} runs each, interleaved"
    return f"{result.machine}\n{result.runtime}; {how}\n{table(header, rows)}"
