"""`vitconv explain`: why a model says what it says."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vitconv.cli.tables.layout import table
from vitconv.cli.terminal import completion
from vitconv.cli.terminal.console import print_result
from vitconv.cli.terminal.options import PATH, common_options, dataset_option, foreign_options
from vitconv.cli.terminal.progress import ConsoleProgress, tensorflow_progress
from vitconv.foundation.errors import InputError
from vitconv.foundation.text import visible

if TYPE_CHECKING:
    from vitconv.classifiers.told import Told
    from vitconv.explanation.explain import Explanations


@click.command()
@click.argument("model", type=PATH, shell_complete=completion.checkpoints)
@click.argument("pictures", nargs=-1, type=PATH, metavar="[PICTURE]...")
@click.option(
    "--out", type=PATH, default=Path("explained"), show_default=True, help="Folder for a PNG file of each picture."
)
@click.option("--class", "label", metavar="LABEL", help="The class to ask about. Default: MODEL's own answer.")
@click.option("--checkpoint", type=PATH, help="The checkpoint of an export folder, if it has moved since.")
@dataset_option(help="Data set of an export folder's pictures, or with the classes of another tool's file.")
@foreign_options
@common_options
def explain(
    model: Path,
    pictures: tuple[Path, ...],
    out: Path,
    label: str | None,
    checkpoint: Path | None,
    dataset: str | None,
    told: Told,
    as_json: bool,
) -> None:
    """Shows which parts of each PICTURE the answer of MODEL rests on.

    MODEL is a .tflite file, a checkpoint, or whatever else `vitconv export` takes. Parts of the picture are
    covered, one after another: where the probability falls, the answer rests on that part. For networks of
    vitconv's own, the PNG file also shows what their attention looks at.

    If MODEL is an export folder, Keras and the integer files are laid side by side. Without a PICTURE it takes the
    images on which `verify` found that they disagree most, and `vitconv report` shows them.
    """
    from vitconv.evaluation.reasons import ExplainExportConfig, explain_export
    from vitconv.explanation.explain import ExplainConfig
    from vitconv.explanation.explain import explain as explain_model
    from vitconv.explanation.subjects import is_file_by_itself
    from vitconv.exporting.manifest import MANIFEST

    if (model / MANIFEST).is_file():
        _check_unused(model, "is an export folder", [name for name in told.given if name != "--code"])
        config = ExplainExportConfig(model, pictures, out, label, checkpoint, dataset, told.code)
        with tensorflow_progress() as progress:
            result = explain_export(config, progress)
    else:
        _check_unused(model, "is no export folder", [] if checkpoint is None else ["--checkpoint"])
        single = ExplainConfig(model, pictures, out, label, told, dataset)
        by_itself = is_file_by_itself(model, told)  # then it needs no TensorFlow
        with closing(ConsoleProgress()) if by_itself else tensorflow_progress() as progress:
            result = explain_model(single, progress)
    print_result(as_json, result.to_json(), lambda width: explanation_text(result, width))


def _check_unused(model: Path, what: str, names: list[str]) -> None:
    if names:
        raise InputError(f"{model} {what}, for which {' and '.join(names)} say nothing. Leave it out.")


def explanation_text(result: Explanations, width: int) -> str:
    """A row for each picture and whoever explains it."""
    rows = []
    for one in result.pictures:
        for reason in one.explanation.reasons:
            lost = 100 * max(float(reason.occlusion.drops.max()), 0)
            rows.append((
                visible(one.path), visible(reason.by), visible(reason.answer), f"{reason.answer_probability:.1%}",
                visible(one.explanation.label), f"{reason.occlusion.probability:.1%}", f"{lost:.1f}",
                "" if reason.alike is None else f"{reason.alike:.2f}", visible(str(one.drawing)),
            ))  # fmt: skip
    header = (
        "picture", "model", "answer", "", "explained", "", "points lost where covered", "map like the first",
        "drawing",
    )  # fmt: skip
    return table(header, rows, width)
