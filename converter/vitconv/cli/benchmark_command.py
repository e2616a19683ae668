"""`vitconv benchmark`: on this machine, on phones, and of two results side by side."""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import click

from vitconv.cli.console import json_option, keeping, print_result, warn
from vitconv.cli.progress import ConsoleProgress
from vitconv.foundation.errors import InputError

_path = click.Path(path_type=Path)


@click.command()
@click.argument("paths", nargs=-1, type=_path, metavar="FILE|FOLDER...")
@click.option("--threads", default="1", show_default=True, help="Threads; on a phone several: 1,4")
@click.option("--runs", type=int, default=50, show_default=True, help="Timed runs of each file.")
@click.option(
    "--device",
    is_flag=False,
    flag_value="",
    metavar="[SERIAL]",
    help="On the phone; SERIAL where there are several, or all.",
)
@click.option(
    "--delegate", metavar="NAMES", help="On a phone: xnnpack (unless given), cpu, gpu, nnapi, npu; with commas."
)
@click.option("--benchmark-binary", type=_path, help="The benchmark_model to run there; found unless given.")
@click.option("--cpu-mask", help="Cores to run on there, hexadecimal as for taskset, or big.")
@click.option("--cooldown", type=float, help="Pause before each run there, seconds; 5 unless given.")
@click.option("--timeout", type=float, help="Longest run there, seconds; 300 unless given.")
@click.option("--profile", type=_path, help="Folder for each operator's times there, as CSV and picture.")
@click.option("--keep", is_flag=True, help="Leave the files on the phone, so that they need not be sent again.")
@click.option("--compare", nargs=2, type=_path, metavar="A.json B.json", help="Two results side by side instead.")
@click.option("--force", is_flag=True, help="Compare files of one name though their contents differ.")
@json_option
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
    What is found of an export folder is also kept in its folder results, for `vitconv report`.

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
    from vitconv.cli import texts
    from vitconv.evaluation import kept_results

    count, *more = _whole_numbers("--threads", threads)
    if more:
        raise InputError(f"--threads {threads}: several numbers of threads are for phones. Give one.")
    progress = ConsoleProgress()
    with closing(progress):
        result = run(BenchmarkConfig(paths, count, runs), progress)
    keeping(lambda: kept_results.keep_benchmark(paths, result.to_json()))
    print_result(as_json, result.to_json(), lambda width: texts.benchmark_table(result, width))


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
        "cooldown": "cooldown_s",
        "timeout": "timeout_s",
        "delegate": "delegates",
    }
    if options["delegate"] is not None:
        options["delegate"] = tuple(name.strip() for name in options["delegate"].split(","))
    chosen = {names.get(name, name): value for name, value in options.items() if value is not None}
    config = PhoneBenchmarkConfig(paths, device, tuple(_whole_numbers("--threads", threads)), runs, **chosen)
    progress = ConsoleProgress()
    with closing(progress):
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
    from vitconv.cli import texts

    result = compare(*names, force=force)
    print_result(as_json, result.to_json(), lambda width: texts.comparison_text(result, width))


def _whole_numbers(option: str, text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise InputError(f"{option} must be a whole number, or several such as 1,4; not {text!r}.") from None
