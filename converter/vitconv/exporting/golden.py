"""Golden files: a few pictures as PNG, and Keras's probabilities for them.

The app's self-test, the check of the Android runtime and the tests all read the same ones.

    golden/0.png …      an image as the model takes it, [height, width, 3]
    golden/golden.json  {"split": source, "images": [{"file", "label", "probabilities"}]}

They are held-out images of the data set. Where it is not on the machine, they are cut out of the two photographs
that come with scikit-learn: "split" is then SAMPLES, and every "label" null.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from PIL import Image

from vitconv.classifiers.float_model import FloatModel
from vitconv.data.datasets import Dataset, Split
from vitconv.data.pictures import photographs
from vitconv.data.pictures.images import LARGEST_SIDE, ImageSpec
from vitconv.foundation import documents
from vitconv.foundation.disk.file_names import FileName
from vitconv.foundation.disk.files import write_json
from vitconv.foundation.errors import InputError
from vitconv.foundation.progress import Progress
from vitconv.quantization.choosing import choose_images

FOLDER = "golden"
FILE = f"{FOLDER}/golden.json"
IMAGES = 8
NAMES = (FILE, *(f"{FOLDER}/{number}.png" for number in range(IMAGES)))
SAMPLES = "sample photographs"


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images, uint8 [N, height, width, 3], where they come from, and their classes, None where that is unknown.
    `note` is what a user should know of them."""

    source: str
    images: np.ndarray
    labels: tuple[int | None, ...]
    note: str | None = None


def choose(model: FloatModel, dataset: Dataset | None, progress: Progress | None = None) -> Pictures:
    """Held-out images of the data set, or sample photographs where it is None, for it is not on this machine."""
    if dataset is not None:
        chosen = held_out(dataset.split(dataset.evaluation_name, model.image, progress))
        return chosen if dataset.labelled else replace(chosen, labels=(None,) * len(chosen.images))
    why = (
        f"the data set {model.card.dataset['source']} is not on this machine"
        if model.card is not None
        else "no pictures were named (--dataset, --images)"
    )
    note = f"{why}, so the golden images were cut from scikit-learn's sample photographs."
    return replace(sample_photographs(model.image), note=note)


def held_out(split: Split) -> Pictures:
    """A few of the split, of as many classes as can be."""
    chosen = list(choose_images(split, IMAGES, seed=0))
    return Pictures(split.source, split.images[chosen], tuple(int(split.labels[index]) for index in chosen))


def sample_photographs(spec: ImageSpec) -> Pictures:
    """Those that are on every machine."""
    images = photographs.sample_photographs(spec)
    return Pictures(SAMPLES, images, (None,) * len(images))


def write(out: Path, model: FloatModel, pictures: Pictures) -> np.ndarray:
    """Writes FOLDER into `out`; the model's own probabilities, float32 [N, classes]."""
    folder = out / FOLDER
    folder.mkdir()
    probabilities = model.predict(pictures.images)
    entries = []
    for number, (image, label) in enumerate(zip(pictures.images, pictures.labels, strict=True)):
        Image.fromarray(image).save(folder / f"{number}.png")
        entries.append({
            "file": f"{number}.png",
            "label": label,
            "probabilities": [float(value) for value in probabilities[number]],
        })  # fmt: skip
    write_json(out / FILE, {"split": pictures.source, "images": entries})
    return probabilities


class GoldenImage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture of FOLDER, its class where that is known, and Keras's probabilities for it."""

    file: FileName
    label: int | None
    probabilities: Annotated[tuple[float, ...], msgspec.Meta(min_length=2)]


class GoldenDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """golden.json; `split` says where the images come from."""

    split: str
    images: Annotated[tuple[GoldenImage, ...], msgspec.Meta(min_length=1, max_length=1000)]

    def __post_init__(self) -> None:
        if len({len(image.probabilities) for image in self.images}) > 1:
            raise ValueError("its images have different numbers of probabilities")


def read_document(folder: Path) -> GoldenDocument:
    """An export folder's golden.json. Raises InputError where it is missing or not one."""
    file, remedy = folder / FILE, "Export again."
    try:
        return documents.read(file, partial(documents.convert, structure=GoldenDocument), "golden file", remedy)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"there is no golden file {file}. {remedy}") from None


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The images, uint8 [N, height, width, 3], and Keras's probabilities for them, float64 [N, classes].

    Raises InputError where they are missing or incomplete.
    """
    document = read_document(folder)
    images = [_read_image(folder / FOLDER / image.file) for image in document.images]
    if len({image.shape for image in images}) > 1:
        raise InputError(f"the golden images in {folder / FOLDER} are of different sizes. Export again.")
    return np.stack(images), np.array([image.probabilities for image in document.images], np.float64)


def _read_image(path: Path) -> np.ndarray:
    """uint8 [height, width, 3]"""
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"the golden image {path} is no file. Export again.")
        # Only PNG, whatever the file is called: other decoders of Pillow's have no business here.
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.mode != "RGB" or max(picture.size) > LARGEST_SIDE:
                raise InputError(
                    f"the golden image {path} is {picture.width}×{picture.height} pixels of {picture.mode}, which "
                    "is no model's input. Export again."
                )
            return np.asarray(picture)
    except FileNotFoundError:
        raise InputError(f"the golden image {path} is missing. Export again.") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read the golden image {path}: {error}. Export again.") from error
