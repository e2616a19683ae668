"""Results as text for a terminal. Nothing is computed here.

`width` is how many columns there are; where a table is wider, its columns go into blocks below one another, and
long lines are broken at words. No number is ever cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitconv.foundation.text import wrapped

if TYPE_CHECKING:
    from vitconv.app.build import BuildResult
    from vitconv.benchmarking.benchmark import Benchmark
    from vitconv.benchmarking.comparison import Comparison
    from vitconv.cli.doctor import Check, Examination
    from vitconv.evaluation.android import AndroidVerification
    from vitconv.evaluation.layer_errors import LayerError
    from vitconv.evaluation.verification import Verification
    from vitconv.quantization.calibration import Calibration
    from vitconv.reporting.report import Report
    from vitconv.runtimes.classification import Classification, Picture
    from vitconv.tflite.inspection import Inspection

_GAP = "  "


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


def models_table(entries: Sequence[Mapping[str, Any]], width: int) -> str:
    """`vitconv models`."""
    rows = [
        (entry["name"], f"{entry['image']['height']}×{entry['image']['width']}", entry["summary"])
        for entry in entries
    ]
    names = max(len(row[0]) for row in rows)
    lines = [f"{name.ljust(names)}  {size:>7}  {summary}" for name, size, summary in rows]
    for entry in entries:
        if entry["trained"]:
            lines += ["", *_trained_lines(entry["name"], entry["trained"])]
    return "\n".join(wrapped(line, width, "    ") for line in lines)


def _trained_lines(name: str, trained: Mapping[str, Any]) -> Iterable[str]:
    size = f"{trained['image']['height']}×{trained['image']['width']}"
    yield f"{name} comes with trained weights: {trained['dataset']} at {size}"
    if trained["top1"] is not None:
        line = f"    top-1 {trained['top1']:.1%}"
        if trained["top1_interval"]:
            low, high = trained["top1_interval"]
            line += (
                f" ({low:.1%} to {high:.1%}, 95 % confidence) on {trained['images']} images, {trained['split']}"
            )
        yield line


def datasets_table(entries: Iterable[Mapping[str, Any]], width: int) -> str:
    """`vitconv datasets`."""
    rows = [
        (entry["name"], str(entry["version"]), str(entry["classes"]), _splits(entry["splits"]))
        for entry in entries
    ]
    return table(("data set", "version", "classes", "images"), rows, width)


def _splits(splits: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in splits.items())


def doctor_text(report: Examination, width: int) -> str:
    """`vitconv doctor`: what is there, what is missing and how to get it, and what that means for the commands."""
    names = max(len(check.name) for check in report.checks)
    lines = []
    for section, checks in report.sections.items():
        lines += [section, *(line for check in checks for line in _check_lines(check, names, width)), ""]
    ready = [command for command, lacking in report.lacking.items() if not lacking]
    lines.append(wrapped(f"Ready: {', '.join(ready) or 'no command'}", width, "    "))
    for command, missing in report.lacking.items():
        if missing:
            lines.append(
                wrapped(f"Not ready: {command}, for want of {', '.join(dict.fromkeys(missing))}", width, "    ")
            )
    return "\n".join(lines)


def _check_lines(check: Check, names: int, width: int) -> Iterable[str]:
    indent = " " * (6 + names + len(_GAP))
    yield wrapped(
        f"  {'--' if check.problem else 'ok'}  {check.name.ljust(names)}{_GAP}{check.problem or check.found}",
        width,
        indent,
    )
    if check.remedy:
        yield wrapped(f"{indent}{check.remedy}", width, indent)


def calibration_text(path: Path, result: Calibration, width: int) -> str:
    """`vitconv calibrate`: what was measured, and what quantizing each unit of the hybrid file costs."""
    lines = [f"{path}: {len(result.images)} images, ranges by {result.method}"]
    for graph in result.graphs:
        lines.append(f"{graph.scheme}: {len(graph.ranges)} tensors")
        if graph.kept is not None and graph.kept.units:
            lines += ["", sensitivity_table([vars(unit) for unit in graph.kept.units], width)]
    return "\n".join(lines)


def sensitivity_table(units: Iterable[Mapping[str, Any]], width: int) -> str:
    """What quantizing each unit would cost, the most erroneous first: a calibration's or a manifest's units."""
    rows = [
        (
            unit["unit"], "all" if unit["weights"] else "without weights", str(unit["operations"]),
            f"{unit['error_added']:+.1e}", f"{unit['time_added_ms']:+.2f}",
            "float" if unit["kept_float"] else "int8",
        )
        for unit in units
    ]  # fmt: skip
    return table(("layer", "operations", "number", "error added (nats²)", "time added (ms)", "stays"), rows, width)


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


def classification_text(result: Classification, width: int) -> str:
    """`vitconv run`: the labels of each picture with bars, as long as the score is large."""
    blocks = [_picture_text(picture, width) for picture in result.pictures if picture.problem is None]
    return "\n\n".join(blocks)


def _picture_text(picture: Picture, width: int, longest_bar: int = 40) -> str:
    probabilities = all(-0.01 <= guess.score <= 1.01 for guess in picture.labels)
    scores = [f"{guess.score:.1%}" if probabilities else f"{guess.score:.4g}" for guess in picture.labels]
    names = max(len(guess.label) for guess in picture.labels)
    numbers = max(map(len, scores))
    bar = min(longest_bar, width - 2 - names - numbers - 2 * len(_GAP)) if probabilities else 0
    lines = [picture.path]
    for guess, score in zip(picture.labels, scores, strict=True):
        line = f"  {guess.label.ljust(names)}{_GAP}{score.rjust(numbers)}"
        # Where names leave no room for bars worth looking at, there are none.
        if bar >= 8:
            line += f"{_GAP}{'#' * round(bar * min(max(guess.score, 0.0), 1.0))}"
        lines.append(line.rstrip() if len(line) <= width else wrapped(f"{guess.label} {score}", width, "    "))
    return "\n".join(lines)


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
    for file in result.files:
        if file.layers is not None:
            lines += ["", layers_table(file.path, file.layers, width)]
    if result.android:
        lines += ["", _android_table(result.android, width)]
    return "\n".join(lines)


def _android_table(result: AndroidVerification, width: int) -> str:
    rows = []
    for check in result.checks:
        error = "" if check.max_abs_error is None else f"{check.max_abs_error:.1e}"
        rows.append((
            check.scheme, check.abi, "XNNPACK" if check.xnnpack else "",
            "passed" if check.passed else "FAILED", error,
            "" if check.max_steps is None else str(check.max_steps),
            "" if check.nodes is None else f"{check.delegated_nodes}/{check.nodes}",
            "" if check.partitions is None else str(check.partitions),
        ))  # fmt: skip
    header = ("scheme", "ABI", "delegate", "", "max error", "steps", "delegated", "partitions")
    lines = ["Android's own runtime, golden images", table(header, rows, width)]
    for check in result.checks:
        where = f"{check.path} on {check.abi} {'with' if check.xnnpack else 'without'} XNNPACK"
        lines += [wrapped(f"{where}: {reason}.", width, "    ") for reason in check.reasons]
    lines += [wrapped(f"{abi} was skipped: {why}", width, "    ") for abi, why in result.skipped.items()]
    return "\n".join(lines)


def layers_table(path: str, layers: Sequence[LayerError], width: int, most: int = 12) -> str:
    """`vitconv verify --layers`: the layers of one file that are furthest from the float graph."""
    rows = []
    for layer in layers[:most]:
        rms = "" if layer.rms_steps is None else f"{layer.rms_steps:.2f}"
        largest = "" if layer.max_steps is None else f"{layer.max_steps:.0f}"
        snr, lost = f"{layer.snr_db:.1f}", "" if layer.lost_db is None else f"{layer.lost_db:.1f}"
        rows.append((layer.layer, layer.operator, snr, lost, rms, largest))
    header = ("layer", "operator", "SNR dB", "lost there", "rms error in steps", "largest")
    more = f"\n({len(layers) - most} better ones; --json has all)" if len(layers) > most else ""
    return f"{path}\n{table(header, rows, width)}{more}"


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


def comparison_text(result: Comparison, width: int) -> str:
    """`vitconv benchmark --compare`: a line a model."""
    rows = []
    for pair in result.pairs:
        same = "" if pair.same_model else "other contents"
        memory = [f"{value:.1f}" if value is not None else "" for value in (pair.a_memory_mb, pair.b_memory_mb)]
        rows.append((
            pair.name, pair.a, pair.b, pair.statistic.removesuffix("_ms"), f"{pair.a_ms:.2f}",
            f"{pair.b_ms:.2f}", f"{pair.ratio:.2f}", *memory, same,
        ))  # fmt: skip
    header = ("file", "A", "B", "", "A ms", "B ms", "B ÷ A", "A MB", "B MB", "")
    lines = [wrapped(f"A: {result.a}", width, "   "), wrapped(f"B: {result.b}", width, "   ")]
    lines.append(table(header, rows, width))
    lines += [f"only in A: {name}" for name in result.only_a] + [f"only in B: {name}" for name in result.only_b]
    return "\n".join(lines)


def report_text(result: Report, width: int) -> str:
    """`vitconv report`: the recommendation and where the report is; or the report itself, if it is in no file."""
    if result.path is None:
        return result.text.removesuffix("\n")
    found = result.recommendation
    lines = [wrapped(f"{found.sentence} {found.reason}", width)]
    lines += [wrapped(f"- {warning}", width, "  ") for warning in found.warnings]
    return "\n".join([*lines, str(result.path)])


def build_text(result: BuildResult, width: int) -> str:
    """`vitconv app build`: the packages, and what each part weighs."""
    parts = sorted({part for package in result.packages for part in package.parts})
    header = ("MB", *(package.variant for package in result.packages))
    rows = [(part, *(f"{package.parts.get(part, 0) / 1e6:.2f}" for package in result.packages)) for part in parts]
    total = ("APK", *(f"{package.bytes / 1e6:.2f}" for package in result.packages))
    paths = "\n".join(str(package.path) for package in result.packages)
    return f"{table(header, [*rows, total], width)}\n{paths}"
