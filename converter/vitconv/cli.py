"""The command line: a thin function a command. A stage's module is imported when its command runs."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vitconv import __version__
from vitconv.errors import OutputError, VitconvError
from vitconv.progress import ConsoleProgress
from vitconv.quiet import import_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from vitconv.datasets import Progress

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_folder = click.Path(path_type=Path)
_checkpoint = click.argument("checkpoint", type=_folder)
_dataset_help = "digits, any tfds name (tf_flowers, cifar100 …), or a folder of class folders."


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="vitconv")
def cli() -> None:
    """Takes MobileViT and EANet from a Keras training run to a phone, and proves at every step that they work.

    \b
    vitconv train mobilevit_xxs --dataset tf_flowers --out runs/flowers
    vitconv export runs/flowers --quant all --out export/flowers
    vitconv verify export/flowers
    vitconv benchmark export/flowers

    Every command exits with 0 when done, 1 when a check failed, 2 on wrong usage or input.
    """


@cli.command()
@_json
def models(as_json: bool) -> None:
    """Lists the models that can be trained."""
    from vitconv import reports
    from vitconv.models.catalogue import CATALOGUE

    entries = [
        {
            "name": entry.name,
            "summary": entry.summary,
            "image": entry.image.to_json(),
            "sizes_divide_by": entry.sizes_divide_by,
            "recipe": entry.recipe.to_json(),
        }
        for entry in CATALOGUE.values()
    ]
    _print(as_json, entries, lambda width: reports.models_table(entries, width))


@cli.command()
@_json
def datasets(as_json: bool) -> None:
    """Lists the data sets that are ready on this machine."""
    from vitconv import reports
    from vitconv.datasets import available

    entries = available()
    more = "Also: any other tfds name (downloaded when first used), or a folder with one folder a class."
    _print(
        as_json,
        entries,
        lambda width: f"{reports.datasets_table(entries, width)}\n{reports.wrapped(more, width)}",
    )


@cli.command()
@click.argument("model")
@click.option("--dataset", required=True, help=_dataset_help)
@click.option("--out", type=_folder, required=True, help="The checkpoint folder to make.")
@click.option("--image-size", type=int, help="Pixels a side; the model's own otherwise.")
@click.option("--epochs", type=int, help="How often to see every image; the recipe's otherwise.")
@click.option("--batch-size", type=int, help="Images a step; the recipe's otherwise.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Order, augmentation, first weights."
)
@click.option("--resume", is_flag=True, help="Go on after the last whole epoch of a stopped training.")
@_json
def train(
    model: str,
    dataset: str,
    out: Path,
    image_size: int | None,
    epochs: int | None,
    batch_size: int | None,
    seed: int,
    resume: bool,
    as_json: bool,
) -> None:
    """Trains MODEL (see `vitconv models`) and keeps the best epoch by validation accuracy."""
    from vitconv.models import catalogue
    from vitconv.training import TrainConfig
    from vitconv.training import train as run

    catalogue.find(model).spec(image_size)  # named before TensorFlow is loaded, which takes seconds
    config = TrainConfig(model, dataset, out, image_size, epochs, batch_size, seed, resume)
    with _progress() as progress, _fit_output():
        result = run(config, progress, verbose=1 if sys.stderr.isatty() else 2)
    results = result.checkpoint.card.results
    _print(
        as_json,
        result.to_json(),
        lambda width: (
            f"{out}: best epoch {results['epoch']} of {len(result.history)}, "
            f"validation accuracy {results['val_accuracy']:.2%}"
        ),
    )


@cli.command()
@_checkpoint
@click.option("--out", type=_folder, required=True, help="The calibration file to write.")
@click.option("--dataset", help="The one the checkpoint was trained on, unless given.")
@click.option("--samples", type=int, default=100, show_default=True, help="Images of the training split.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Which images.")
@_json
def calibrate(checkpoint: Path, out: Path, dataset: str | None, samples: int, seed: int, as_json: bool) -> None:
    """Runs representative images through CHECKPOINT and writes each activation's range."""
    from vitconv.calibration import CalibrateConfig
    from vitconv.calibration import calibrate as run
    from vitconv.checkpoints import open_checkpoint

    config = CalibrateConfig(checkpoint, out, dataset, samples, seed)
    open_checkpoint(checkpoint)  # before TensorFlow is loaded
    with _progress() as progress:
        result = run(config, progress)
    _print(
        as_json,
        result.to_json(),
        lambda width: f"{out}: ranges of {len(result.ranges)} tensors over {len(result.images)} images",
    )


@cli.command()
@_checkpoint
@click.option("--quant", required=True, help="float32, float16, dynamic, int8, several with commas, or all.")
@click.option("--out", type=_folder, required=True, help="The export folder to make.")
@click.option("--dataset", help="Calibration and golden images; the checkpoint's own data set unless given.")
@click.option("--calibration", type=_folder, help="A file that `vitconv calibrate` wrote.")
@click.option(
    "--samples", type=int, default=100, show_default=True, help="Calibration images, without --calibration."
)
@click.option("--author", default="unknown", show_default=True, help="Author in the files' metadata.")
@click.option("--licence", default="unknown", show_default=True, help="Licence in the files' metadata.")
@_json
def export(
    checkpoint: Path,
    quant: str,
    out: Path,
    dataset: str | None,
    calibration: Path | None,
    samples: int,
    author: str,
    licence: str,
    as_json: bool,
) -> None:
    """Writes .tflite files of CHECKPOINT with metadata, each checked against its scheme's promises."""
    from vitconv import reports, schemes
    from vitconv.checkpoints import open_checkpoint
    from vitconv.exporting import ExportConfig
    from vitconv.exporting import export as run

    wanted = [name.strip() for name in quant.split(",")]
    if "all" in wanted:
        wanted = list(schemes.SCHEMES)
    config = ExportConfig(checkpoint, out, tuple(wanted), dataset, calibration, samples, author, licence)
    open_checkpoint(checkpoint)  # before TensorFlow is loaded
    with _progress() as progress:
        result = run(config, progress)
    _print(
        as_json,
        result.to_json(),
        lambda width: reports.export_text(out, result.manifest, width),
    )


@cli.command()
@click.argument("files", nargs=-1, required=True, type=_folder, metavar="FILE...")
@_json
def inspect(files: tuple[Path, ...], as_json: bool) -> None:
    """Says what a .tflite FILE holds and which runtime can take it.

    With --json, one FILE gives one object, several give a list of them in the same order.
    """
    from vitconv import reports
    from vitconv.inspection import inspect as run

    results = [run(file) for file in files]
    document: Any = [result.to_json() for result in results]
    _print(
        as_json,
        document[0] if len(results) == 1 else document,
        lambda width: "\n\n".join(reports.inspection_text(result, width) for result in results),
    )


@cli.command()
@click.argument("folder", type=_folder)
@click.option("--dataset", help="The one the checkpoint was trained on, unless given.")
@click.option("--limit", type=int, help="Only the first so many images of the held-out split.")
@click.option("--max-drop", type=float, help="Percentage points of top-1 a file may lose; its scheme's otherwise.")
@click.option("--checkpoint", type=_folder, help="Where the checkpoint of the manifest is now.")
@_json
def verify(
    folder: Path,
    dataset: str | None,
    limit: int | None,
    max_drop: float | None,
    checkpoint: Path | None,
    as_json: bool,
) -> None:
    """Compares every file of an export FOLDER with Keras on held-out images; exit status 1 where one fails."""
    from vitconv import manifest, reports
    from vitconv.verification import VerifyConfig
    from vitconv.verification import verify as run

    config = VerifyConfig(folder, dataset, limit, max_drop, checkpoint)
    manifest.read(folder)  # before TensorFlow is loaded
    with _progress() as progress:
        result = run(config, progress)
    _print(as_json, result.to_json(), lambda width: reports.verification_table(result, width))
    if not result.passed:
        sys.exit(1)


@cli.command()
@click.argument("paths", nargs=-1, required=True, type=_folder, metavar="FILE|FOLDER...")
@click.option("--threads", type=int, default=1, show_default=True, help="Threads the runtime may use.")
@click.option("--runs", type=int, default=50, show_default=True, help="Timed runs of each file.")
@_json
def benchmark(paths: tuple[Path, ...], threads: int, runs: int, as_json: bool) -> None:
    """Times each .tflite FILE on this machine, interleaved round by round; a FOLDER means all files in it."""
    from vitconv import reports
    from vitconv.benchmarking import BenchmarkConfig
    from vitconv.benchmarking import benchmark as run

    progress = ConsoleProgress()
    with closing(progress):
        result = run(BenchmarkConfig(paths, threads, runs), progress)
    _print(as_json, result.to_json(), lambda width: reports.benchmark_table(result, width))


def main() -> None:
    """The `vitconv` command: turns vitconv's own errors and Ctrl-C into a message and an exit status."""
    _prepare_streams()
    try:
        cli.main(prog_name="vitconv", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _fail("stopped; nothing half-written was left.", 128 + signal.SIGINT)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except VitconvError as error:
        _fail(str(error), error.exit_status)
    except MemoryError:
        _fail("there is not enough memory for this. Try a smaller image size or batch.", 2)
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.", 2)


def _prepare_streams() -> None:
    """Makes sure that no character and no stream can stop what is to be said."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed by whoever started us: the next file opened would take its number
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  kept for good
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _fail(message: str, status: int) -> None:
    from vitconv.reports import printable

    click.echo(f"vitconv: {printable(message)}", err=True)
    sys.exit(status)


def _print(as_json: bool, document: Any, text: Callable[[int], str]) -> None:
    """The command's result, the only thing that goes to standard output. `text` is told the columns there are."""
    from vitconv.reports import printable

    if as_json:
        # Escapes instead of any character but ASCII: what arrives doesn't depend on the terminal's encoding.
        output = json.dumps(document, indent=2, allow_nan=False)
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
        output = printable(text(width))
    try:
        click.echo(output)
    except OSError as error:
        # What the stream still holds would be tried again, and fail again, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        # Whoever read it may have seen enough (`| head`); that changes nothing about what the command found.
        if not isinstance(error, BrokenPipeError):
            raise OutputError(f"cannot write to standard output: {error.strerror}.") from error


@contextmanager
def _progress() -> Iterator[Progress]:
    """For commands that use TensorFlow: loads it, which takes seconds, and shows the progress of what follows."""
    progress = ConsoleProgress()
    try:
        progress("loading TensorFlow", 0, 1)
        import_tensorflow()
        progress("loading TensorFlow", 1, 1)
        yield progress
    finally:
        progress.close()


@contextmanager
def _fit_output() -> Iterator[None]:
    """Keras prints its progress bar to standard output, which is for the result: it goes to standard error."""
    saved = sys.stdout
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = saved
