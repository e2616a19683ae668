"""The command line: a thin function a command. A stage's module is imported when its command runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from vitconv._version import __version__
from vitconv.checkpoints.pretrained import DEFAULT
from vitconv.cli import completion
from vitconv.cli.app_commands import app
from vitconv.cli.benchmark_command import benchmark
from vitconv.cli.console import draws_bars, fail, keeping, prepare_streams, print_result, warn
from vitconv.cli.console import json_option as _json
from vitconv.cli.progress import ConsoleProgress
from vitconv.foundation.errors import VitconvError
from vitconv.foundation.quiet import import_tensorflow
from vitconv.foundation.text import wrapped
from vitconv.training.distributed.distribution import STRATEGIES

if TYPE_CHECKING:
    from vitconv.foundation.progress import Progress
    from vitconv.quantization.histograms import Method

_folder = click.Path(path_type=Path)
_checkpoint = partial(click.argument, "checkpoint", type=_folder, shell_complete=completion.checkpoints)
_dataset = partial(click.option, "--dataset", shell_complete=completion.datasets)
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
    """Lists the models that can be trained, and which of them come with trained weights."""
    from vitconv.checkpoints import pretrained
    from vitconv.checkpoints.checkpoint import read_card
    from vitconv.cli import texts
    from vitconv.models.catalogue import CATALOGUE

    entries = [
        {
            "name": entry.name,
            "summary": entry.summary,
            "image": entry.image.to_json(),
            "sizes_divide_by": entry.sizes_divide_by,
            "recipe": entry.recipe.to_json(),
            "recipes": {name: recipe.to_json() for name, recipe in entry.recipes.items()},
            "trained": read_card(folder).trained() if (folder := pretrained.folder(entry.name)) else None,
        }
        for entry in CATALOGUE.values()
    ]
    print_result(as_json, entries, lambda width: texts.models_table(entries, width))


@cli.command()
@_json
def datasets(as_json: bool) -> None:
    """Lists the data sets that are ready on this machine."""
    from vitconv.cli import texts
    from vitconv.data.datasets import available

    entries = available()
    more = "Also: any other tfds name (downloaded when first used), or a folder with one folder a class."
    print_result(
        as_json,
        entries,
        lambda width: f"{texts.datasets_table(entries, width)}\n{wrapped(more, width)}",
    )


@cli.command()
@_json
def doctor(as_json: bool) -> None:
    """Says what this machine has and what it lacks, for which command, and how to get it.

    Exit status 1 only where something is broken that every command needs.
    """
    from vitconv.cli import texts
    from vitconv.cli.doctor import examine

    report = examine()
    print_result(as_json, report.to_json(), lambda width: texts.doctor_text(report, width))
    if not report.passed:
        sys.exit(1)


@cli.command()
@click.argument("model", shell_complete=completion.models)
@_dataset(required=True, help=_dataset_help)
@click.option("--out", type=_folder, required=True, help="The checkpoint folder to make.")
@click.option("--image-size", type=int, help="Pixels a side; the model's own otherwise.")
@click.option("--epochs", type=int, help="How often to see every image; the recipe's otherwise.")
@click.option("--batch-size", type=int, help="Images a step, of all replicas together; the recipe's otherwise.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Order, augmentation, first weights."
)
@click.option(
    "--recipe",
    shell_complete=completion.recipes,
    help="A recipe of the model, from `vitconv models --json`; the article's otherwise.",
)
@click.option("--init", type=_folder, help="Begin with these weights: a checkpoint, or timm's .safetensors.")
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="none",
    show_default=True,
    help="tf.distribute: mirrored over this machine's GPUs, or multi-worker over the processes of TF_CONFIG.",
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
    recipe: str | None,
    init: Path | None,
    strategy: str,
    resume: bool,
    as_json: bool,
) -> None:
    """Trains MODEL (see `vitconv models`) and keeps the best epoch by validation accuracy.

    With --strategy multi-worker the same command is started on every worker, each with its own TF_CONFIG; the
    chief, or else the first worker, keeps the checkpoint.
    """
    from vitconv.models import catalogue
    from vitconv.training.distributed.cluster import Cluster
    from vitconv.training.train import TrainConfig
    from vitconv.training.train import train as run

    entry = catalogue.find(model)  # what is wrong is named before TensorFlow is loaded, which takes seconds
    entry.spec(image_size)
    entry.find_recipe(recipe)
    worker = Cluster.from_environment() if strategy == "multi-worker" else None
    # TensorFlow's faster kernels, which it leaves off where the processor has no AVX-512; a fifth less time there.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    config = TrainConfig(model, dataset, out, image_size, epochs, batch_size, seed, resume, recipe, init, strategy)
    with _progress() as progress, _fit_output():
        result = run(config, progress, verbose=1 if draws_bars(sys.stderr) else 2)
    results = result.checkpoint.card.results
    print_result(
        as_json,
        result.to_json(),
        lambda width: (
            f"{out if worker is None or worker.is_chief else f'{worker.name}, kept by the chief'}: "
            f"best epoch {results['epoch']} of {len(result.history)}, "
            f"validation accuracy {results['val_accuracy']:.2%}"
        ),
    )


@cli.command()
@_checkpoint()
@click.option("--out", type=_folder, required=True, help="The calibration file to write.")
@_dataset(help="The one the checkpoint was trained on, unless given.")
@click.option("--samples", type=int, default=100, show_default=True, help="Images of the training split.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Which images.")
@click.option(
    "--method",
    shell_complete=completion.methods,
    default="mse",
    show_default=True,
    help="Where to clip: minmax nowhere, percentile the rarest values, mse where the error is least.",
)
@_json
def calibrate(
    checkpoint: Path, out: Path, dataset: str | None, samples: int, seed: int, method: str, as_json: bool
) -> None:
    """Runs representative images through CHECKPOINT, a folder or a name, and writes each activation's range.

    Also measures which operations int8-hybrid had better keep in float.
    """
    from vitconv.checkpoints.checkpoint import open_checkpoint
    from vitconv.cli import texts
    from vitconv.quantization.calibration import CalibrateConfig, check_method
    from vitconv.quantization.calibration import calibrate as run

    check_method(method)
    config = CalibrateConfig(checkpoint, out, dataset, samples, seed, cast("Method", method))
    open_checkpoint(checkpoint)  # before TensorFlow is loaded
    with _progress() as progress:
        result = run(config, progress)
    _advise(result.advice)
    print_result(as_json, result.to_json(), lambda width: texts.calibration_text(out, result, width))


@cli.command()
@_checkpoint(required=False, default=DEFAULT)
@click.option(
    "--quant",
    required=True,
    shell_complete=completion.schemes,
    help="float32, float16, dynamic, int8, int8-hybrid, several with commas, or all.",
)
@click.option("--out", type=_folder, required=True, help="The export folder to make.")
@_dataset(help="Calibration and golden images; the checkpoint's own data set unless given.")
@click.option("--calibration", type=_folder, help="A file that `vitconv calibrate` wrote.")
@click.option("--samples", type=int, help="Calibration images, 100 unless given, without --calibration.")
@click.option(
    "--keep-float",
    multiple=True,
    metavar="PATTERN",
    help="Layers that int8-hybrid keeps in float (block0.*), instead of what was measured; can be repeated.",
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
    samples: int | None,
    keep_float: tuple[str, ...],
    author: str,
    licence: str,
    as_json: bool,
) -> None:
    """Writes .tflite files of CHECKPOINT with metadata, each checked against its scheme's promises.

    CHECKPOINT is a folder that `vitconv train` made, or the name of a model that comes with trained weights (see
    `vitconv models`); mobilevit_xxs where none is given. Trained weights come with a calibration file, which is
    used unless --dataset, --calibration or --samples is given: no data set is needed.
    """
    from vitconv.checkpoints.checkpoint import open_checkpoint
    from vitconv.cli import texts
    from vitconv.conversion import schemes
    from vitconv.exporting.export import ExportConfig
    from vitconv.exporting.export import export as run

    wanted = [name.strip() for name in quant.split(",")]
    if "all" in wanted:
        wanted = list(schemes.SCHEMES)
    config = ExportConfig(
        checkpoint, out, tuple(wanted), dataset, calibration, keep_float or None, samples, author, licence
    )
    open_checkpoint(checkpoint)  # before TensorFlow is loaded
    with _progress() as progress:
        result = run(config, progress)
    _advise(result.calibration.advice if result.calibration else None)
    for note in result.notes:
        _advise(note)
    print_result(
        as_json,
        result.to_json(),
        lambda width: texts.export_text(out, result.manifest, width),
    )


@cli.command()
@click.argument("files", nargs=-1, required=True, type=_folder, metavar="FILE...")
@_json
def inspect(files: tuple[Path, ...], as_json: bool) -> None:
    """Says what a .tflite FILE holds and which runtime can take it.

    With --json, one FILE gives one object, several give a list of them in the same order.
    """
    from vitconv.cli import texts
    from vitconv.tflite.inspection import inspect as run

    results = [run(file) for file in files]
    document: Any = [result.to_json() for result in results]
    print_result(
        as_json,
        document[0] if len(results) == 1 else document,
        lambda width: "\n\n".join(texts.inspection_text(result, width) for result in results),
    )


@cli.command(name="run")
@click.argument("file", type=_folder)
@click.argument("images", nargs=-1, required=True, type=_folder, metavar="IMAGE...")
@click.option("--top", type=int, default=5, show_default=True, help="How many labels of each picture.")
@_json
def run_file(file: Path, images: tuple[Path, ...], top: int, as_json: bool) -> None:
    """Classifies each IMAGE with a .tflite FILE that has metadata, whoever made it.

    The picture's size, the resize rule, the pixels' range and the labels are read from the file. A picture that
    cannot be read is named, with exit status 2, after the results of the others.
    """
    from vitconv.cli import texts
    from vitconv.runtimes.classification import ClassifyConfig, classify

    config = ClassifyConfig(file, images, top)
    with closing(ConsoleProgress()) as progress:
        result = classify(config, progress if len(images) > 1 else None)
    if as_json or len(result.problems) < len(images):
        print_result(as_json, result.to_json(), lambda width: texts.classification_text(result, width))
    for problem in result.problems:
        warn(problem)
    if result.problems:
        sys.exit(2)


@cli.command()
@click.argument("folder", type=_folder)
@_dataset(help="The one the checkpoint was trained on, unless given.")
@click.option("--limit", type=int, help="Only the first so many images of the held-out split.")
@click.option("--max-drop", type=float, help="Percentage points of top-1 a file may lose; its scheme's otherwise.")
@click.option("--checkpoint", type=_folder, help="Where the checkpoint of the manifest is now.")
@click.option("--layers", is_flag=True, help="Also each layer's error against the float graph, worst first.")
@click.option(
    "--runtime",
    type=click.Choice(["litert", "android"]),
    default="litert",
    show_default=True,
    help="android: the golden images also through the library that Android apps ship (x86-64 Linux; Maven, gcc).",
)
@_json
def verify(
    folder: Path,
    dataset: str | None,
    limit: int | None,
    max_drop: float | None,
    checkpoint: Path | None,
    runtime: str,
    layers: bool,
    as_json: bool,
) -> None:
    """Compares every file of an export FOLDER with Keras on held-out images; exit status 1 where one fails.

    What was found is also kept in FOLDER/results, for `vitconv report`.
    """
    from vitconv.cli import texts
    from vitconv.evaluation import kept_results
    from vitconv.evaluation.verification import VerifyConfig
    from vitconv.evaluation.verification import verify as run
    from vitconv.exporting import manifest

    config = VerifyConfig(
        folder, dataset, limit, max_drop, checkpoint, android=runtime == "android", layers=layers
    )
    manifest.read(folder)  # before TensorFlow is loaded
    with _progress() as progress:
        result = run(config, progress)
    keeping(lambda: kept_results.keep_verification(config, result))
    print_result(as_json, result.to_json(), lambda width: texts.verification_table(result, width))
    if not result.passed:
        sys.exit(1)


@cli.command()
@click.argument("folder", type=_folder)
@click.option("--out", type=_folder, help="The file to write; FOLDER/report.html unless given.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "markdown"]),
    default="html",
    show_default=True,
    help="html: one page that needs nothing else. markdown: for a pull request, to standard output without --out.",
)
@click.option(
    "--compare", type=_folder, metavar="FOLDER", help="Another export folder, side by side with this one."
)
@_json
def report(folder: Path, out: Path | None, form: str, compare: Path | None, as_json: bool) -> None:
    """Says which file of an export FOLDER to ship, and why, from what `verify` and `benchmark` found of it."""
    from vitconv.cli import texts
    from vitconv.reporting.report import Format, ReportConfig
    from vitconv.reporting.report import report as run

    result = run(ReportConfig(folder, out, cast("Format", form), compare))
    print_result(as_json, result.to_json(), lambda width: texts.report_text(result, width))


@cli.command(name="completion")
@click.argument("shell", type=click.Choice(list(completion.SHELLS)))
@_json
def print_completion(shell: str, as_json: bool) -> None:
    """Prints what makes SHELL (bash, zsh, fish) complete commands, options, and names of models and data sets.

    \b
    eval "$(vitconv completion bash)"     in ~/.bashrc (zsh: ~/.zshrc)
    vitconv completion fish | source      in ~/.config/fish/config.fish
    """
    script = completion.script(shell)
    print_result(as_json, {"shell": shell, "script": script}, lambda width: script)


cli.add_command(app)
cli.add_command(benchmark)


def main() -> None:
    """The `vitconv` command: turns vitconv's own errors and Ctrl-C into a message and an exit status."""
    prepare_streams()
    try:
        cli.main(prog_name="vitconv", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        fail("stopped; nothing half-written was left.", 128 + signal.SIGINT)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except VitconvError as error:
        fail(str(error), error.exit_status)
    except MemoryError:
        fail("there is not enough memory for this. Try a smaller image size or batch.", 2)
    except OSError as error:
        fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.", 2)


def _advise(advice: str | None) -> None:
    if advice:
        warn(advice)


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
