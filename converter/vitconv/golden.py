"""Golden files: a few held-out images as PNG, and Keras's probabilities for them.

The app's self-test, the check of the Android runtime and the tests all read the same ones.

    golden/0.png …      an image as the model takes it, [height, width, 3]
    golden/golden.json  {"split": source, "images": [{"file", "label", "probabilities"}]}
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vitconv.calibration import choose_images
from vitconv.datasets import Split
from vitconv.files import write_json

if TYPE_CHECKING:
    import keras

FOLDER = "golden"
FILE = f"{FOLDER}/golden.json"
IMAGES = 8


def write(out: Path, model: keras.Model, split: Split) -> np.ndarray:
    """Writes FOLDER into `out`; returns its images, uint8 [N, height, width, 3]."""
    folder = out / FOLDER
    folder.mkdir()
    chosen = choose_images(split, IMAGES, seed=0)
    images = split.images[list(chosen)]
    probabilities = np.asarray(model(images.astype(np.float32), training=False))
    entries = []
    for number, index in enumerate(chosen):
        Image.fromarray(images[number]).save(folder / f"{number}.png")
        entries.append({
            "file": f"{number}.png",
            "label": int(split.labels[index]),
            "probabilities": [float(value) for value in probabilities[number]],
        })  # fmt: skip
    write_json(out / FILE, {"split": split.source, "images": entries})
    return images
