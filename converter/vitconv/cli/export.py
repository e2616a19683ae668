"""`vitconv calibrate` and `vitconv export`: from a checkpoint to checked files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from vitconv.checkpoints.pretrained import DEFAULT
from vitconv.cli.tables.confidence import fitted_table
from vitconv.cli.tables.layout import table
from vitconv.cli.tables.search import search_table
from vitconv.cli.terminal import completion
from vitconv.cli.terminal.console import advise, print_result
from vitconv.cli.terminal.options import (
    PATH,
    checkpoint_argument,
    common_options,
    dataset_option,
    foreign_options,
    images_option,
)
from vitconv.cli.terminal.progress import tensorflow_progress
from vitconv.foundation.errors import InputError

if TYPE_CHECKING:
    from vitconv.classifiers.told import Told
    from vitconv.conversion.schemes import Probabilities
    from vitconv.exporting.cheapest.limits import AccuracyLimit
    from vitconv.quantization.calibration import Calibration
    from vitconv.quantization.histograms import Method


@click.command()
@checkpoint_argument()
@click.option("--out", type=PATH, required=True, help="The calibration file to write.")
@dataset_option(help="Data set. Default: the one that the checkpoint was trained on.")
@click.option("--samples", type=int, default=100, show_default=True, help="Images of the training split.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the choice of images.")
@click.option(
    "--method",
    shell_complete=completion.methods,
    default="mse",
    show_default=True,
    help="Where to clip: minmax nowhere, percentile the rarest values, mse where the error is least.",
)
@images_option()
@foreign_options
@common_options
def calibrate(
    checkpoint: Path,
    out: Path,
    dataset: str | None,
    samples: int,
    seed: int,
    method: str,
    images: Path | None,
    told: Told,
    as_json: bool,
) -> None:
    """Runs representative images through CHECKPOINT and writes each activation's range.

    CHECKPOINT is a folder, a name, or a file of another tool, as for `vitconv export`. It also measures which
    operations int8-hybrid should keep in float.
    """
    from vitconv.quantization.calibration import CalibrateConfig, check_method
    from vitconv.quantization.calibration import calibrate as run

    check_method(method)
    config = CalibrateConfig(checkpoint, out, dataset, samples, seed, cast("Method", method), images, told)
    check_checkpoint(checkpoint)  # before TensorFlow is loaded
    with tensorflow_progress() as progress:
        result = run(config, progress)
    advise(result.advice)
    print_result(as_json, result.to_json(), lambda width: calibration_text(out, result, width))


@click.command()
@checkpoint_argument(required=False, default=DEFAULT)
@click.option(
    "--quant",
    shell_complete=completion.schemes,
    help="float32, float16, dynamic, int8, int8-hybrid, several with commas, or all.",
)
@click.option(
    "--max-drop",
    type=float,
    metavar="POINTS",
    help="Instead of --quant: look for the cheapest file that loses at most so many points of top-1, and export "
    "that one.",
)
@click.option(
    "--min-agreement",
    type=float,
    metavar="PERCENT",
    help="With --max-drop: it must also name Keras's class on so many of the images. Default: 90.",
)
@click.option(
    "--fastest/--smallest",
    "fastest",
    default=None,
    help="With --max-drop: what cheapest means, the fewest instructions on arm64 or the fewest bytes. Default: "
    "--fastest.",
)
@click.option("--out", type=PATH, required=True, help="The export folder to make.")
@dataset_option(
    help="Data set of calibration and golden images. Default: the one that the checkpoint was trained on."
)
@click.option("--calibration", type=PATH, help="A file that `vitconv calibrate` wrote.")
@click.option(
    "--samples", type=int, help="Number of calibration images. Default: 100. Not used with --calibration."
)
@click.option(
    "--keep-float",
    multiple=True,
    metavar="PATTERN",
    help="Layers that int8-hybrid keeps in float, such as 'block0.*', instead of the measured choice. "
    "Can be repeated.",
)
@click.option(
    "--probabilities",
    type=click.Choice(["uint8", "float32"]),
    default="uint8",
    show_default=True,
    help="What int8 and int8-hybrid files give. uint8: in steps of 1/256. float32: their last softmax stays "
    "float, for many classes that the network can hardly tell apart.",
)
@images_option()
@foreign_options
@click.option(
    "--confidence",
    is_flag=True,
    help="Fit a temperature and thresholds on validation images, and keep them in the files' metadata, for "
    "`vitconv run --error-rate`.",
)
@click.option("--author", default="unknown", show_default=True, help="Author in the files' metadata.")
@click.option("--licence", default="unknown", show_default=True, help="Licence in the files' metadata.")
@common_options
def export(
    checkpoint: Path,
    quant: str | None,
    max_drop: float | None,
    min_agreement: float | None,
    fastest: bool | None,
    out: Path,
    dataset: str | None,
    calibration: Path | None,
    samples: int | None,
    keep_float: tuple[str, ...],
    probabilities: str,
    confidence: bool,
    author: str,
    licence: str,
    images: Path | None,
    told: Told,
    as_json: bool,
) -> None:
    """Writes .tflite files of CHECKPOINT with metadata, each checked against its scheme's promises.

    CHECKPOINT is a folder that `vitconv train` made, or the name of a model that comes with trained weights (see
    `vitconv models`); mobilevit_paper_xxs if none is given. A model with trained weights brings a calibration
    file, so it needs no data set. With --dataset, --calibration or --samples that file is not used.

    Or CHECKPOINT is a file of another tool: a .keras file, a SavedModel, or a float .tflite file, of a classifier
    of pictures. --pixels, --labels, --image-size and --code say what the file doesn't; the export folder keeps it.

    With --max-drop, files from int8 to float32 are tried on validation and training images, never on those that
    `vitconv verify` reports on. The cheapest that is shown to keep the limit is exported, and verify judges it by
    that limit.
    """
    from vitconv.conversion import schemes
    from vitconv.exporting.export import ExportConfig
    from vitconv.exporting.export import export as run

    limit = _limit(quant, max_drop, min_agreement, fastest)
    wanted = [name.strip() for name in ("all" if quant is None else quant).split(",")]
    if "all" in wanted:
        wanted = list(schemes.SCHEMES)
    config = ExportConfig(
        checkpoint, out, tuple(wanted), dataset, calibration, keep_float or None, samples, author, licence,
        cast("Probabilities", probabilities), images, told, confidence, limit,
    )  # fmt: skip
    check_checkpoint(checkpoint)  # before TensorFlow is loaded
    with tensorflow_progress() as progress:
        result = run(config, progress)
    advise(result.calibration.advice if result.calibration else None)
    for note in result.notes:
        advise(note)
    print_result(
        as_json,
        result.to_json(),
        lambda width: export_text(out, result.manifest, width),
    )


def _limit(
    quant: str | None, max_drop: float | None, min_agreement: float | None, fastest: bool | None
) -> AccuracyLimit | None:
    """What --max-drop and its companions say; None where schemes are named. Raises InputError."""
    from vitconv.exporting.cheapest.limits import LEAST_AGREEMENT, AccuracyLimit

    if max_drop is None:
        for option, given in (
            ("--min-agreement", min_agreement is not None),
            ("--smallest" if fastest is False else "--fastest", fastest is not None),
        ):
            if given:
                raise InputError(f"{option} works with --max-drop only. Add --max-drop, or leave it out.")
        if quant is None:
            raise InputError(
                "name the schemes to export (--quant int8, or --quant all), or the points of accuracy that the "
                "cheapest file may lose (--max-drop 0.5)."
            )
        return None
    if quant is not None:
        raise InputError("--max-drop chooses the scheme itself. Leave --quant out, or --max-drop.")
    least = LEAST_AGREEMENT if min_agreement is None else min_agreement
    return AccuracyLimit(max_drop, least, "smallest" if fastest is False else "fastest")


def check_checkpoint(path: Path) -> None:
    """What is wrong with a checkpoint folder is said at once; a file of another tool is opened later. Raises
    CheckpointError."""
    from vitconv.checkpoints.checkpoint import open_checkpoint
    from vitconv.classifiers.foreign_paths import is_foreign

    if not is_foreign(path):
        open_checkpoint(path)


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
            "not measured" if unit["error_added"] is None else f"{unit['error_added']:+.1e}",
            f"{unit['instructions_added'] / 1e6:+.2f}",
            "float" if unit["kept_float"] else "int8",
        )
        for unit in units
    ]  # fmt: skip
    return table(
        ("layer", "operations", "number", "error added (nats²)", "instructions added (M)", "stays"), rows, width
    )


def export_text(folder: Path, manifest: Mapping[str, Any], width: int) -> str:
    """`vitconv export`: the files of the folder."""
    rows = [(file["path"], f"{file['bytes'] / 1e6:.2f}") for file in manifest["files"]]
    text = f"{folder}\n{table(('file', 'MB'), rows, width)}"
    for file in manifest["files"]:
        if "search" in file:
            text += f"\n\n{search_table(file['search'], width)}"
    fitted = [file for file in manifest["files"] if "confidence" in file]
    return f"{text}\n\n{fitted_table(fitted, width)}" if fitted else text
