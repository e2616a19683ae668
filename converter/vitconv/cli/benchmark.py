"""`vitconv benchmark`: on this machine, on phones, and of two results side by side."""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vitconv.cli.console import keeping, print_result, warn
from vitconv.cli.layout import table, wrapped
from vitconv.cli.options import PATH, common_options
from vitconv.cli.progress import ConsoleProgress
from vitconv.foundation.errors import InputError

if TYPE_CHECKING:
    from vitconv.benchmarking.benchmark import Benchmark
    from vitconv.benchmarking.comparison import Comparison


@click.command()
@click.argument("paths", nargs=-1, type=PATH, metavar="FILE|FOLDER...")
@click.option("--threads", default="1", show_default=True, help="Number of threads. On a phone also several: 1,4")
@click.option("--runs", type=int, default=50, show_default=True, help="Timed runs of each file.")
@click.option(
    "--device",
    is_flag=False,
    flag_value="",
    metavar="[SERIAL]",
    help="Measure on the phone. Give its SERIAL if there are several, or all.",
)
@click.option(
    "--delegate",
    metavar="NAMES",
    help="On a phone: xnnpack, cpu, gpu, nnapi, npu; several with commas. Default: xnnpack.",
)
@click.option(
    "--benchmark-binary",
    type=PATH,
    help="The benchmark_model to run on the phone. Default: TensorFlow's nightly build, downloaded.",
)
@click.option("--yes", is_flag=True, help="Accept a benchmark_model that has changed at its address.")
@click.option("--cpu-mask", help="Cores to run on: a hexadecimal mask as for taskset, or big.")
@click.option("--cooldown", type=float, help="Seconds of pause before each run on the phone. Default: 5.")
@click.option("--timeout", type=float, help="Seconds that a run on the phone may take. Default: 300.")
@click.option("--profile", type=PATH, help="Folder for each operator's times on the phone, as CSV and picture.")
@click.option("--keep", is_flag=True, help="Leave the files on the phone, so that they need not be sent again.")
@click.option(
    "--compare",
    nargs=2,
    type=PATH,
    metavar="A.json B.json",
    help="Show two results side by side instead of measuring.",
)
@click.option("--force", is_flag=True, help="Compare files of the same name even if their contents differ.")
@common_options
def benchmark(
    paths: tuple[Path, ...],
    threads: str,
    runs: int,
    device: str | None,
    compare: tuple[Path, Path] | None,
    force: bool,
    as_json: bool,
    **on_phone: Any,
) -> None:
    """Times each .tflite FILE, interleaved round by round; a FOLDER means all files in it.

    On this machine, or with --device on a phone, where benchmark_model runs each file with every number of
    threads on every delegate. xnnpack is the processor with XNNPACK, cpu TensorFlow Lite's own kernels alone.
    Results of an export folder are also saved in its folder results, for `vitconv report`.

    \b
    vitconv benchmark export/flowers
    vitconv benchmark export/flowers --device --json > phone.json
    vitconv benchmark export/flowers --device --delegate xnnpack,gpu
    vitconv benchmark --compare desktop.json phone.json
    """
    given = [name.replace("_", "-") for name, value in on_phone.items() if not (value is None or value is False)]
    if compare is not None:
        _compare(compare, force, as_json)
    elif device is not None:
        _benchmark_phones(paths, device, threads, runs, on_phone, as_json)
    elif given:
        raise InputError(f"--{given[0]} is for phones: add --device.")
    else:
        _benchmark_here(paths, threads, runs, as_json)


def _benchmark_here(paths: tuple[Path, ...], threads: str, runs: int, as_json: bool) -> None:
    from vitconv.benchmarking.benchmark import BenchmarkConfig
    from vitconv.benchmarking.benchmark import benchmark as run
    from vitconv.evaluation import kept_results

    count, *more = _whole_numbers("--threads", threads)
    if more:
        raise InputError(f"--threads {threads}: several numbers of threads are for phones. Give one.")
    with closing(ConsoleProgress()) as progress:
        result = run(BenchmarkConfig(paths, count, runs), progress)
    keeping(lambda: kept_results.keep_benchmark(paths, result.to_json()))
    print_result(as_json, result.to_json(), lambda width: benchmark_table(result, width))


def _benchmark_phones(
    paths: tuple[Path, ...], device: str, threads: str, runs: int, options: dict[str, Any], as_json: bool
) -> None:
    from vitconv.cli.phone_tables import phones_table
    from vitconv.evaluation import kept_results
    from vitconv.phone.phone_benchmark import PhoneBenchmarkConfig, benchmark_phones

    if device and not paths and Path(device).exists():
        raise InputError(f"--device {device} is a path, not a phone. Write `vitconv benchmark {device} --device`.")
    names = {
        "benchmark_binary": "binary",
        "yes": "accept_changed",
        "cooldown": "cooldown_s",
        "timeout": "timeout_s",
        "delegate": "delegates",
    }
    if options["delegate"] is not None:
        options["delegate"] = tuple(name.strip() for name in options["delegate"].split(","))
    chosen = {names.get(name, name): value for name, value in options.items() if value is not None}
    config = PhoneBenchmarkConfig(paths, device, tuple(_whole_numbers("--threads", threads)), runs, **chosen)
    with closing(ConsoleProgress()) as progress:
        found = benchmark_phones(config, progress)
    for result in found:
        keeping(partial(kept_results.keep_phone_benchmark, paths, result.to_json()))
    documents = [result.to_json() for result in found]
    print_result(
        as_json,
        {"phones": documents} if device == "all" else documents[0],
        lambda width: phones_table(found, width),
    )
    problems = [problem for result in found for problem in result.problems]
    for problem in problems:
        warn(str(problem))
    if problems:
        sys.exit(1)


def _compare(names: tuple[Path, Path], force: bool, as_json: bool) -> None:
    from vitconv.benchmarking.comparison import compare

    result = compare(*names, force=force)
    print_result(as_json, result.to_json(), lambda width: comparison_text(result, width))


def _whole_numbers(option: str, text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise InputError(f"{option} must be a whole number, or several such as 1,4; not {text!r}.") from None


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
