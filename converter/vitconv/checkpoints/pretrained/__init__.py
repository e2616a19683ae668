"""Trained checkpoints that come with the package, and the calibration files that belong to them.

    pretrained/NAME/card.json, weights-DIGEST.safetensors   a checkpoint folder; NAME is the model's
    pretrained/NAME/README.md, evaluation.json              what it can do and what not, from held-out images

`scripts/ship-checkpoint` makes both, and the calibration file. In a wheel the calibration files lie inside the
package, in a checkout in the folder `calibration` at its top.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
# What `vitconv export` takes where no checkpoint is named. On validation images the two MobileViTs cannot be told
# apart (90.1 and 90.8 % of 314), and this one takes half of the other's time.
DEFAULT = "mobilevit_paper_xxs"
_CALIBRATIONS = (FOLDER.parents[1] / "calibration_files", FOLDER.parents[3] / "calibration")


def names() -> tuple[str, ...]:
    """The models of the catalogue that come with trained weights, in order of the alphabet."""
    return tuple(sorted(card.parent.name for card in FOLDER.glob("*/card.json")))


def folder(name: str) -> Path | None:
    """The checkpoint folder of that name; None where there are no trained weights of it."""
    return FOLDER / name if name in names() else None


def calibration_file(weights: str) -> Path | None:
    """The calibration file that was made for the weights of that SHA-256 (hex), if one comes with the package."""
    from vitconv.foundation import documents  # its library is not for `vitconv --help`

    for place in _CALIBRATIONS:
        for file in sorted(place.glob("*.json")):
            document = documents.read(file, dict, "calibration file", "Install vitconv again.")
            if document.get("checkpoint") == weights:
                return file
    return None
