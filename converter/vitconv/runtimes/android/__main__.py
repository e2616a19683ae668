"""Prints the folder with Android's TensorFlow Lite library for this machine: see `libraries`."""

from __future__ import annotations

import argparse
import sys

from vitconv.foundation.errors import VitconvError
from vitconv.runtimes.android.libraries import ABIS, folder


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m vitconv.runtimes.android",
        description="Prints a folder for LD_LIBRARY_PATH, with which this machine loads Android's TensorFlow Lite "
        "library; makes it the first time.",
    )
    parser.add_argument("--abi", choices=list(ABIS), default="x86_64", help="default: x86_64")
    arguments = parser.parse_args()
    try:
        print(folder(arguments.abi))
    except VitconvError as error:
        print(f"vitconv: {error}", file=sys.stderr)
        sys.exit(error.exit_status)


main()
