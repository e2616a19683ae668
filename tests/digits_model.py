"""The network that many tests use, the Android app's among them: trained on digits and exported once.

python tests/digits_model.py FOLDER     does both in that folder where nobody has yet, and prints the export folder
"""

from __future__ import annotations

import fcntl
import json
import sys
from dataclasses import astuple
from pathlib import Path

import commands
from commands import Ended


def trained(base: Path) -> Ended:
    """`vitconv train --json` as it ended: MobileViT-XXS for 32×32 pixels, on digits.

    With a few steps less its normalisation layers have not seen enough, and it guesses. The first epoch, in which
    TensorFlow compiles, takes most of the time.
    """
    how = ("--dataset", "digits", "--image-size", 32, "--epochs", 9, "--batch-size", 16)
    return _once(base / "trained", "train", "mobilevit_xxs", *how)[1]


def exported(base: Path) -> tuple[Path, Ended]:
    """`vitconv export --json` of it with every scheme: the folder, and how the command ended."""
    checkpoint = json.loads(trained(base).out)["checkpoint"]
    return _once(base / "exported", "export", checkpoint, "--quant", "all")


def _once(folder: Path, *arguments: object) -> tuple[Path, Ended]:
    """`vitconv ARGUMENTS --out FOLDER/digits --json`, run by the first of several processes that needs it."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "ended.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            ended = commands.run(*arguments, "--out", folder / "digits", "--json")
            kept.write_text(json.dumps(astuple(ended)), encoding="utf-8")
    ended = Ended(*json.loads(kept.read_text(encoding="utf-8")))
    assert ended.status == 0, ended.err
    return folder / "digits", ended


if __name__ == "__main__":
    print(exported(Path(sys.argv[1]).resolve())[0])
