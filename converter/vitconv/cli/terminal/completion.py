"""What a shell offers when Tab is pressed: names of models, data sets and schemes, where a command takes one.

Each function is click's `shell_complete`: what is typed so far → what it may become. Paths are completed by the
shell itself. `vitconv completion SHELL` prints what makes a shell ask.
"""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete

SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
_VARIABLE = "_VITCONV_COMPLETE"


def script(shell: str) -> str:
    """What the shell must run. In bash and zsh: eval "$(vitconv completion bash)"."""
    kind = SHELLS[shell]
    # click's own `source` would start a bash to look at its version.
    names = {"complete_func": "_vitconv_completion", "complete_var": _VARIABLE, "prog_name": "vitconv"}
    return kind.source_template % names


def models(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    from vitconv.models.catalogue import CATALOGUE

    return _beginning(typed, CATALOGUE)


def checkpoints(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Models that come with trained weights; where none fits, folders."""
    from vitconv.checkpoints import pretrained

    return _or_folders(typed, pretrained.names())


def datasets(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """What is on this machine; where none fits, folders."""
    from vitconv.data.tfds.source import prepared_names

    return _or_folders(typed, ("digits", *prepared_names()))


def schemes(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """The last of several with commas."""
    from vitconv.conversion.schemes import SCHEMES

    before, comma, last = typed.rpartition(",")
    given = set(before.split(","))
    names = [name for name in (*SCHEMES, "all") if name not in given]
    return [CompletionItem(f"{before}{comma}{name}") for name in names if name.startswith(last)]


def recipes(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Those of the model that is named before; of all models where none is."""
    from vitconv.models.catalogue import CATALOGUE

    # An option without its value ends click's parsing: the model is then among the words that are left.
    words = (context.params.get("model"), *context.args)
    named = [CATALOGUE[word] for word in words if word in CATALOGUE]
    entries = named[:1] or CATALOGUE.values()
    return _beginning(typed, dict.fromkeys(name for entry in entries for name in entry.recipes))


def methods(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    from vitconv.quantization.histograms import METHODS

    return _beginning(typed, METHODS)


def _beginning(typed: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(typed)]


def _or_folders(typed: str, names: Iterable[str]) -> list[CompletionItem]:
    # The shells that click writes for look for folders where no other item fits.
    return _beginning(typed, names) or [CompletionItem(typed, type="dir")]
