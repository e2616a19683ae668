"""`vitconv cache`: what prepared images take, and how to be rid of them."""

from __future__ import annotations

import click

from vitconv.cli.terminal.console import print_result
from vitconv.cli.terminal.options import common_options


@click.command()
@click.option("--prune", is_flag=True, help="Remove them; they are made again when they are wanted.")
@click.option(
    "--older-than",
    type=click.FloatRange(0),
    metavar="DAYS",
    help="With --prune: only what was not used for so long.",
)
@common_options
def cache(prune: bool, older_than: float | None, as_json: bool) -> None:
    """Lists the prepared images in the cache folder ($VITCONV_CACHE), and what they take."""
    from vitconv.data import cache_contents
    from vitconv.foundation.disk.cache import cache_directory
    from vitconv.foundation.errors import InputError

    if older_than is not None and not prune:
        raise InputError("--older-than is for --prune. Add it, or leave both out to see the list.")
    removed = cache_contents.prune(older_than or 0) if prune else []
    left = cache_contents.contents()
    total = sum(entry.bytes for entry in left)
    document = {
        "folder": str(cache_directory()),
        "bytes": total,
        "entries": [entry.to_json() for entry in left],
        "removed": [entry.to_json() for entry in removed],
    }
    lines = [
        f"{entry.bytes / 1e6:9.1f} MB  {entry.dataset} {entry.split}, {entry.image}, {entry.days:.0f} days ago"
        for entry in left
    ]
    lines.append(f"{total / 1e6:9.1f} MB  in all, in {cache_directory()}")
    if prune:
        lines.append(f"{sum(entry.bytes for entry in removed) / 1e6:9.1f} MB  removed")
    print_result(as_json, document, lambda width: "\n".join(lines))
