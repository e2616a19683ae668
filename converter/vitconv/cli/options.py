"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from vitconv.cli import completion
from vitconv.cli.faults import debug_option

Function = TypeVar("Function", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
DATASET_HELP = "digits, any tfds name (tf_flowers, cifar100 …), or a folder of class folders."

checkpoint_argument = partial(click.argument, "checkpoint", type=PATH, shell_complete=completion.checkpoints)
dataset_option = partial(click.option, "--dataset", shell_complete=completion.datasets)


def common_options(command: Function) -> Function:
    """--json, and the group's --debug, which may also stand behind the command; its help names it once."""
    json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
    return json_option(debug_option(hidden=True)(command))
