"""`vitconv benchmark`: on this machine, on phones, and of two results side by side."""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vitconv.cli.tables.layout import table, wrapped
from vitconv.cli.terminal.console import keeping, print_result, warn
from vitconv.cli.terminal.options import PATH, common_options
from vitconv.cli.terminal.progress import ConsoleProgress
from vitconv.foundation.errors import InputError

if TYPE_CHECKING:
    from vitconv.benchmarking.benchmark import Benchmark
    from vitconv.benchmarking.comparison import Comparison


@click.command()
@click.argument("paths", nargs=-1, type=PATH, metavar="FILE|FOLDER...")
@click.option("--threads", default="1", show_default=True, help="Number of threads. On a phone also several: 1,4")
@click.option("--runs", type=int, help="Timed runs of each file. Default: 50; with --runtime android 10.")
@click.option(
    "--runtime",
    type=click.Choice(["litert", "android"]),
    default="litert",
    show_default=True,
    help="android: what a file costs in the library that Android apps ship, without a phone "
    "(x86-64 Linux; Maven, gcc, QEMU).",
)
@click.option(
    "--cpu",
    metavar="NAMES",
    help="With --runtime android: max, cortex-a76, cortex-a53; several with commas. Default: max,cortex-a53.",
)
@click.option("--layers", is_flag=True, help="With --runtime android: also the instructions of each operator.")
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
    runs: int | None,
    runtime: str,
    cpu: str | None,
    layers: bool,
    device: str | None,
    compare: tuple[Path, Path] | None,
    force: bool,
    as_json: bool,
    **on_phone: Any,
) -> None:
    """Times each .tflite FILE, interleaved round by round; a FOLDER means all files in it.

    On this machine, or with --device on a phone, where benchmark_model runs each file with every number of
    threads on every delegate. xnnpack is the processor with XNNPACK, cpu TensorFlow Lite's own kernels alone.

    With --runtime android each file runs in the library that Android apps ship: under an emulator of arm64-v8a,
    which counts the instructions of one image by kind (and by operator), and on x86_64, where it is timed.
    Instructions are not milliseconds, but the same every time.

    Results of an export folder are also saved in its folder results, for `vitconv report`.

    \b
    vitconv benchmark export/flowers
    vitconv benchmark export/flowers --device --json > phone.json
    vitconv benchmark export/flowers --device --delegate xnnpack,gpu
    vitconv benchmark --compare desktop.json phone.json
    vitconv benchmark export/flowers --runtime android --layers
    """
    given = [name.replace("_", "-") for name, value in on_phone.items() if not (value is None or value is False)]
    if runtime == "android" and (compare is not None or device is not None):
        other = "--device" if compare is None else "--compare"
        raise InputError(
            f"--runtime android measures on this machine, so it does not go with {other}. Leave one out."
        )
    if runtime != "android" and (cpu is not None or layers):
        raise InputError(f"{'--layers' if cpu is None else '--cpu'} counts instructions: add --runtime android.")
    if compare is not None:
        _compare(compare, force, as_json)
    elif device is not None:
        _benchmark_phones(paths, device, threads, {**on_phone, "runs": runs}, as_json)
    elif given:
        raise InputError(f"--{given[0]} is for phones: add --device.")
    elif runtime == "android":
        _benchmark_android(paths, threads, runs, cpu, layers, as_json)
    else:
        _benchmark_here(paths, threads, runs, as_json)


def _benchmark_here(paths: tuple[Path, ...], threads: str, runs: int | None, as_json: bool) -> None:
    from vitconv.benchmarking.benchmark import BenchmarkConfig
    from vitconv.benchmarking.benchmark import benchmark as run
    from vitconv.evaluation import kept_results

    config = BenchmarkConfig(paths, _one_number("--threads", threads), **_given(runs=runs))
    with closing(ConsoleProgress()) as progress:
        result = run(config, progress)
    keeping(lambda: kept_results.keep_benchmark(paths, result.to_json()))
    print_result(as_json, result.to_json(), lambda width: benchmark_table(result, width))


def _benchmark_android(
    paths: tuple[Path, ...], threads: str, runs: int | None, cpu: str | None, layers: bool, as_json: bool
) -> None:
    from vitconv.benchmarking.android_benchmark import AndroidBenchmarkConfig, benchmark_android
    from vitconv.cli.tables.android import android_tables
    from vitconv.evaluation import kept_results

    cpus = None if cpu is None else tuple(dict.fromkeys(name.strip() for name in cpu.split(",")))
    config = AndroidBenchmarkConfig(
        paths, operators=layers, threads=_one_number("--threads", threads), **_given(cpus=cpus, runs=runs)
    )
    with closing(ConsoleProgress()) as progress:
        result = benchmark_android(config, progress)
    keeping(lambda: kept_results.keep_android(paths, result.to_json()))
    print_result(as_json, result.to_json(), lambda width: android_tables(result, width))


def _benchmark_phones(
    paths: tuple[Path, ...], device: str, threads: str, options: dict[str, Any], as_json: bool
) -> None:
    from vitconv.cli.tables.phone import phones_table
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
    config = PhoneBenchmarkConfig(paths, device, tuple(_whole_numbers("--threads", threads)), **chosen)
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


def _given(**options: Any) -> dict[str, Any]:
    """Without those for which the config's own default holds."""
    return {name: value for name, value in options.items() if value is not None}


def _one_number(option: str, text: str) -> int:
    number, *more = _whole_numbers(option, text)
    if more:
        raise InputError(f"{option} {text}: several numbers of threads are for phones. Give one.")
    return number


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
