"""The network that many tests use, the Android app's among them: trained on digits and exported once.

python tests/digits_model.py FOLDER     does both in that folder where nobody has yet, and prints the export folder
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from dataclasses import astuple
from pathlib import Path

import commands
import shared
from commands import Ended


def trained() -> Ended:
    """`vitconv train --json` as it ended: MobileViT-XXS for 32×32 pixels, on digits.

    With a few steps less its normalisation layers have not seen enough, and it guesses. The first epoch, in which
    TensorFlow compiles, takes most of the time.
    """
    how = ("--dataset", "digits", "--image-size", 32, "--epochs", 9, "--batch-size", 16)
    return Ended(*_done("trained/digits", "train", "mobilevit_xxs", *how))


def exported() -> tuple[Path, Ended]:
    """`vitconv export --json` of it with every scheme: the folder, and how the command ended."""
    checkpoint = json.loads(trained().out)["checkpoint"]
    return shared.folder() / "exported/digits", Ended(
        *_done("exported/digits", "export", checkpoint, "--quant", "all")
    )


def calibrated() -> tuple[Path, Ended]:
    """`vitconv calibrate --json` of it on 40 images: the file, and how the command ended."""
    checkpoint = json.loads(trained().out)["checkpoint"]
    how = ("--samples", 40, "--seed", 3)
    return shared.folder() / "calibrated/digits.json", Ended(
        *_done("calibrated/digits.json", "calibrate", checkpoint, *how)
    )


def tiny_keras() -> tuple[Path, tuple[object, ...]]:
    """A Keras file of three layers for 8×8 digits, and the options of what it does not say: for tests of what a
    command does around its work, which is done in a moment."""
    folder = shared.folder() / _tiny_keras("tiny-keras")
    return folder / "tiny.keras", ("--pixels", "0..255", "--labels", folder / "labels.txt", "--dataset", "digits")


@shared.made_once
def _tiny_keras(name: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorFlow's and Keras's own, when they are imported and save
        import keras

        keras.utils.set_random_seed(5)
        image = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(keras.layers.Rescaling(1 / 255)(image))
        x = keras.layers.Dense(10, activation="softmax", name="head")(keras.layers.GlobalAveragePooling2D()(x))
        folder = shared.new_folder(name)
        folder.mkdir()
        keras.Model(image, x).save(folder / "tiny.keras")
    (folder / "labels.txt").write_text("".join(f"{digit}\n" for digit in range(10)))
    return name


def forget_results() -> None:
    """Removes what earlier tests' verify and benchmark kept beside the exported files."""
    shutil.rmtree(shared.folder() / "exported/digits/results", ignore_errors=True)


@shared.made_once
def _done(name: str, *arguments: object) -> tuple[int, str, str]:
    """`vitconv ARGUMENTS --out NAME --json` in the shared folder, as it ended."""
    ended = commands.run(*arguments, "--out", shared.new_folder(name), "--json")
    assert ended.status == 0, ended.err
    return astuple(ended)


if __name__ == "__main__":
    os.environ[shared.FOLDER] = str(Path(sys.argv[1]).resolve())
    print(exported()[0])
