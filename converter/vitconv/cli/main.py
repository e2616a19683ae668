"""The command line: the group of all commands, and what becomes of their errors.

Each command is a thin function in the module that is named after it, or after what several have in common. What a
command needs is imported when it runs.
"""

from __future__ import annotations

import signal
import sys
import traceback

import click

from vitconv._version import __version__
from vitconv.cli import app, benchmark, cache, check, explain, export, info, report, train
from vitconv.cli.terminal.console import fail, prepare_streams
from vitconv.cli.terminal.faults import Debugging, debug_option
from vitconv.cli.terminal.faults import explain as explain_fault
from vitconv.foundation.errors import VitconvError
from vitconv.foundation.text import printable


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="vitconv")
@debug_option()
def cli() -> None:
    """Trains MobileViT and EANet in Keras, exports them to TensorFlow Lite, and compares every file with Keras.

    \b
    vitconv train mobilevit_xxs --dataset tf_flowers --out runs/flowers
    vitconv export runs/flowers --quant all --out export/flowers
    vitconv verify export/flowers
    vitconv benchmark export/flowers

    Every command exits with 0 when done, 1 when a check failed, 2 on wrong usage or input, and 3 on an unexpected
    error, which is a bug in vitconv; the message names the log of it.
    """


for command in (
    info.models, info.datasets, info.doctor, info.completion, train.train, export.calibrate, export.export,
    check.inspect, check.run, check.verify, explain.explain, benchmark.benchmark, report.report, app.app,
    cache.cache,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """The `vitconv` command: turns errors and Ctrl-C into a message and an exit status."""
    prepare_streams()
    debugging = Debugging()
    try:
        cli.main(prog_name="vitconv", standalone_mode=False, obj=debugging)
    except (click.exceptions.Abort, KeyboardInterrupt):
        fail("stopped. No half-written file was left.", 128 + signal.SIGINT)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except VitconvError as error:
        fail(str(error), error.exit_status)
    except Exception as error:
        if debugging.wanted:
            click.echo(printable(traceback.format_exc()), err=True, nl=False)
        fail(*explain_fault(error))
