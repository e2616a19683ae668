"""The networks of `scripts/zoo`: other people's, from installed packages and from tests/reference.

A network is built by a function, takes pixels of one kind, and may have classes of its own, in a file that --code
names. Those of keras-hub and of timm live in environments of their own, see zoo_hub.py and zoo_torch.py.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import zoo_hub
import zoo_torch
import zoo_training
from own_environment import LITERT_TORCH, python_with
from vitconv.data.datasets import Dataset
from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.disk.cache import cache_directory
from vitconv.foundation.errors import InputError
from vitconv.quantization.choosing import choose_images

ROOT = Path(__file__).resolve().parent.parent
HUB = ("keras-hub==0.25.1", "tensorflow-cpu==2.19.1", "keras==3.12.0")
CALIBRATED = 100
# Of CIFAR-100, those that a short training tells apart, so that answers are sure.
CLASSES = ("apple", "chair", "keyboard", "motorcycle", "mountain", "orange", "road", "skyscraper", "sunflower",
           "wardrobe")  # fmt: skip

# keras.applications, the side of their pictures, and what else they are built with.
APPLICATIONS: dict[str, tuple[int, dict[str, Any]]] = {
    "MobileNet": (64, {"alpha": 0.5}),
    "MobileNetV2": (64, {"alpha": 0.5}),
    "MobileNetV3Small": (64, {"include_preprocessing": False}),
    "MobileNetV3Large": (64, {"include_preprocessing": False}),
    "EfficientNetB0": (64, {}),
    "EfficientNetV2B0": (64, {"include_preprocessing": False}),
    "NASNetMobile": (64, {}),
    "DenseNet121": (32, {}),
    "ResNet50": (32, {}),
    "ResNet50V2": (32, {}),
    "ConvNeXtTiny": (32, {"include_preprocessing": False}),
}
SCALE_PIXELS = ("EfficientNetB0",)


@dataclass(frozen=True)
class Pictures:
    """Of one size: uint8 [N, side, side, 3] and labels 0, 1, …. `calibration` are indices of the training's."""

    labels: tuple[str, ...]
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    calibration: tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """`build` is None for those of keras-hub and of timm. `code`: the file with its own classes."""

    name: str
    side: int
    pixels: str
    made_from: str
    build: Callable[[], Any] | None = None
    code: Path | None = None


def networks(classes: int) -> dict[str, Network]:
    """All, by name."""
    import keras

    from reference import eanet_article, mobilevit_article, zoo, zoo_more

    zoo.CLASSES = zoo_more.CLASSES = classes
    article, packaged = "tests/reference", f"keras.applications {keras.__version__}"
    found = [
        Network(name, zoo.SIZE, "0..255" if name in zoo.RAW_PIXELS else "0..1", article, build, Path(zoo.__file__))
        for name, build in zoo.ZOO.items()
    ]
    found += [
        Network(name, zoo_more.SIZE, "0..1", article, build, Path(zoo_more.__file__))
        for name, build in zoo_more.ZOO.items()
    ]
    pixels = {"mean": (127.0,) * 3, "variance": (4000.0,) * 3}
    own = Path(eanet_article.__file__)
    eanet = functools.partial(eanet_article.build_as_published, classes, **pixels)
    found.append(Network("eanet", 32, "0..255", article, eanet, own))
    mobilevit = functools.partial(mobilevit_article.build, classes, 64)
    found.append(Network("mobilevit", 64, "0..255", article, mobilevit))
    for name, (side, options) in APPLICATIONS.items():
        build = functools.partial(application, name, side, classes, options)
        takes = "0..255" if name in SCALE_PIXELS else "0..1"
        found.append(Network(name, side, takes, packaged, build))
    found += [Network(name, zoo_hub.SIDE, "0..1", HUB[0].replace("==", " ")) for name in zoo_hub.NETWORKS]
    beside = ", ".join(one.replace("==", " ") for one in reversed(LITERT_TORCH))
    found += [Network(name, side, "0..1", beside) for name, (_, side) in zoo_torch.NETWORKS.items()]
    return {network.name: network for network in found}


def application(name: str, side: int, classes: int, options: dict[str, Any]) -> Any:
    """One of keras.applications, with random weights."""
    import keras

    shape = (side, side, 3)
    return getattr(keras.applications, name)(weights=None, classes=classes, input_shape=shape, **options)


@functools.cache
def pictures(dataset: Dataset, side: int) -> Pictures:
    """Of CIFAR-100 those of CLASSES, of other data sets all."""
    spec = ImageSpec(side, side)
    wanted = CLASSES if set(CLASSES) <= set(dataset.labels) else dataset.labels
    numbers = np.full(len(dataset.labels), -1)
    numbers[[dataset.labels.index(label) for label in wanted]] = np.arange(len(wanted))
    parts = []
    for name in ("train", dataset.evaluation_name):
        split = dataset.split(name, spec)
        labels = numbers[np.asarray(split.labels)]
        chosen = np.flatnonzero(labels >= 0)
        parts.append((split, chosen, split.images[chosen], labels[chosen]))
    split, chosen, train, train_labels = parts[0]
    order = choose_images(split, len(split), 0)
    places = {int(index): place for place, index in enumerate(chosen)}
    calibration = tuple(places[index] for index in order if index in places)[:CALIBRATED]
    return Pictures(tuple(wanted), train, train_labels, parts[1][2], parts[1][3], calibration)


def folder_of(dataset: Dataset, network: Network, kept: Path | None) -> Path:
    """Where a trained network is kept."""
    return (kept or cache_directory() / "zoo") / dataset.name / network.name


def trained(network: Network, shown: Pictures, folder: Path, seconds: float) -> dict[str, Any]:
    """The card of the network, which is trained and kept where it was not yet."""
    known = zoo_training.card(folder)
    if known is not None and known["seconds"] >= seconds:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.json").unlink(missing_ok=True)
    if network.build is None:
        given = folder / "pictures.npz"
        np.savez(given, images=shown.train, labels=shown.train_labels, calibration=np.array(shown.calibration))
        python = python_with("about 2 GB", *HUB)
        command = [python, ROOT / "scripts/zoo_hub.py", network.name, given, folder, str(seconds)]
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        given.unlink()
        made = zoo_training.card(folder)
        if done.returncode or made is None:
            raise InputError(f"{network.name} could not be built and trained beside keras-hub, see above.")
        return made
    import keras

    keras.utils.set_random_seed(0)
    model = network.build()
    scale = np.float32(1.0 if network.pixels == "0..255" else 1 / 255)
    steps = zoo_training.train(model, shown.train.astype(np.float32) * scale, shown.train_labels, seconds)
    model.save(folder / "model.keras")
    made = {
        "pixels": network.pixels, "parameters": model.count_params(), "side": network.side, "steps": steps,
        "seconds": seconds, "from": network.made_from,
    }  # fmt: skip
    zoo_training.keep(folder, made)
    return made
