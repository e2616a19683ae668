"""`vitconv models`, `datasets`, `doctor` and `completion`: what there is, here and on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from vitconv.cli.tables.layout import GAP, table, wrapped
from vitconv.cli.terminal.completion import SHELLS, script
from vitconv.cli.terminal.console import print_result
from vitconv.cli.terminal.options import common_options

if TYPE_CHECKING:
    from vitconv.cli.doctor.checks import Check
    from vitconv.cli.doctor.examination import Examination


@click.command()
@common_options
def models(as_json: bool) -> None:
    """Lists the models that can be trained, and which of them come with trained weights."""
    from vitconv.checkpoints import pretrained
    from vitconv.checkpoints.checkpoint import read_card
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
    print_result(as_json, entries, lambda width: models_table(entries, width))


@click.command()
@common_options
def datasets(as_json: bool) -> None:
    """Lists the data sets that are ready on this machine."""
    from vitconv.data.datasets import available

    entries = available()
    more = "Also: any other tfds name (downloaded when first used), or a folder with one folder a class."
    print_result(
        as_json,
        entries,
        lambda width: f"{datasets_table(entries, width)}\n{wrapped(more, width)}",
    )


@click.command()
@common_options
def doctor(as_json: bool) -> None:
    """Says what this machine has and what it lacks, for which command, and how to get it.

    Exit status 1 only where something is broken that every command needs.
    """
    from vitconv.cli.doctor.examination import examine

    report = examine()
    print_result(as_json, report.to_json(), lambda width: doctor_text(report, width))
    if not report.passed:
        sys.exit(1)


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
@common_options
def completion(shell: str, as_json: bool) -> None:
    """Prints the script that makes SHELL (bash, zsh, fish) complete commands, options, and names of models and
    data sets.

    \b
    eval "$(vitconv completion bash)"     in ~/.bashrc (zsh: ~/.zshrc)
    vitconv completion fish | source      in ~/.config/fish/config.fish
    """
    text = script(shell)
    print_result(as_json, {"shell": shell, "script": text}, lambda width: text)


def models_table(entries: Sequence[Mapping[str, Any]], width: int) -> str:
    """`vitconv models`."""
    rows = [
        (entry["name"], f"{entry['image']['height']}×{entry['image']['width']}", entry["summary"])
        for entry in entries
    ]
    names = max(len(row[0]) for row in rows)
    lines = [f"{name.ljust(names)}  {size:>7}  {summary}" for name, size, summary in rows]
    for entry in entries:
        if entry["trained"]:
            lines += ["", *_trained_lines(entry["name"], entry["trained"])]
    return "\n".join(wrapped(line, width, "    ") for line in lines)


def _trained_lines(name: str, trained: Mapping[str, Any]) -> Iterable[str]:
    from vitconv.checkpoints.answers import what_chose

    size = f"{trained['image']['height']}×{trained['image']['width']}"
    yield f"{name} comes with trained weights: {trained['dataset']} at {size}"
    if trained["top1"] is not None:
        line = f"    top-1 {trained['top1']:.1%}"
        if trained["top1_interval"]:
            low, high = trained["top1_interval"]
            line += (
                f" ({low:.1%} to {high:.1%}, 95 % confidence) on {trained['images']} images, {trained['split']}, "
                f"{what_chose(trained['chose_epoch'])}"
            )
        yield line


def datasets_table(entries: Iterable[Mapping[str, Any]], width: int) -> str:
    """`vitconv datasets`."""
    rows = [
        (entry["name"], str(entry["version"]), str(entry["classes"]), _splits(entry["splits"]))
        for entry in entries
    ]
    return table(("data set", "version", "classes", "images"), rows, width)


def _splits(splits: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in splits.items())


def doctor_text(report: Examination, width: int) -> str:
    """`vitconv doctor`: what is there, what is missing and how to get it, and what that means for the commands."""
    names = max(len(check.name) for check in report.checks)
    lines = []
    for section, checks in report.sections.items():
        lines += [section, *(line for check in checks for line in _check_lines(check, names, width)), ""]
    ready = [command for command, lacking in report.lacking.items() if not lacking]
    lines.append(wrapped(f"Ready: {', '.join(ready) or 'no command'}", width, "    "))
    for command, missing in report.lacking.items():
        if missing:
            lines.append(
                wrapped(f"Not ready: {command}. Missing: {', '.join(dict.fromkeys(missing))}", width, "    ")
            )
    return "\n".join(lines)


def _check_lines(check: Check, names: int, width: int) -> Iterable[str]:
    indent = " " * (6 + names + len(GAP))
    yield wrapped(
        f"  {'--' if check.problem else 'ok'}  {check.name.ljust(names)}{GAP}{check.problem or check.found}",
        width,
        indent,
    )
    if check.remedy:
        yield wrapped(f"{indent}{check.remedy}", width, indent)
