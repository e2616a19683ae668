"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from vitconv.cli.terminal import completion
from vitconv.cli.terminal.faults import debug_option

Function = TypeVar("Function", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
DATASET_HELP = "digits, any tfds name (tf_flowers, cifar100 …), or a folder of class folders."

checkpoint_argument = partial(click.argument, "checkpoint", type=PATH, shell_complete=completion.checkpoints)
dataset_option = partial(click.option, "--dataset", shell_complete=completion.datasets)

images_option = partial(
    click.option,
    "--images",
    type=PATH,
    metavar="FOLDER",
    help="Pictures without classes in the place of --dataset: enough to calibrate on, and to see who agrees.",
)
code_option = partial(
    click.option,
    "--code",
    type=PATH,
    metavar="FILE.py",
    help="Python file with a Keras model's own classes. It is executed.",
)


def foreign_options(command: Function) -> Function:
    """What a file of another tool does not say. The command gets it as `told`, see `classifiers.told.Told`."""

    @wraps(command)
    def with_told(
        *args: Any,
        pixels: str | None,
        labels: Path | None,
        image_size: str | None,
        code: Path | None,
        **rest: Any,
    ) -> Any:
        from vitconv.classifiers.told import Pixels, Told, read_labels
        from vitconv.data.pictures.images import parse_size

        size = parse_size(image_size) if image_size is not None else None
        told = Told(
            Pixels.parse(pixels) if pixels is not None else None,
            read_labels(labels) if labels is not None else None,
            (size, size) if isinstance(size, int) else size,
            code,
        )
        return command(*args, told=told, **rest)

    options = (
        click.option(
            "--pixels",
            metavar="RANGE",
            help="What a file of another tool takes for a pixel: 0..255, 0..1, -1..1, imagenet, or MEAN,STD of "
            "pixels from 0 to 1.",
        ),
        click.option(
            "--labels",
            type=PATH,
            metavar="FILE",
            help="Its classes, one a line, in the order of its outputs. Default: the data set's.",
        ),
        click.option(
            "--image-size",
            metavar="SIZE",
            help="Its picture size, as 224 or 192x256, where the file leaves it open.",
        ),
        code_option(),
    )
    for option in reversed(options):
        with_told = option(with_told)
    return with_told  # type: ignore[return-value]


def common_options(command: Function) -> Function:
    """--json, and the group's --debug, which may also stand behind the command; its help names it once."""
    json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
    return json_option(debug_option(hidden=True)(command))
