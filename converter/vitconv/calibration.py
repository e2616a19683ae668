"""Which values flow through a model: representative images in, the range of every activation out.

Images come from the training split, prepared exactly as for training's evaluation and as for the phone: raw
0–255 pixels. What comes out is a small file that can be reviewed, kept, and used again without any image.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitconv import checkpoints, conversion, schemes
from vitconv.checkpoints import Checkpoint
from vitconv.datasets import Dataset, Progress, Split
from vitconv.errors import InputError
from vitconv.files import writable_directory, write_text
from vitconv.images import ImageSpec
from vitconv.ranges import TensorRange, measure_ranges
from vitconv.trained_data import open_dataset_of

DEFAULT_SAMPLES = 100


@dataclass(frozen=True)
class CalibrateConfig:
    """What to calibrate; `dataset` None means the one the checkpoint was trained on."""

    checkpoint: Path
    out: Path
    dataset: str | None = None
    samples: int = DEFAULT_SAMPLES
    seed: int = 0

    def __post_init__(self) -> None:
        check_samples(self.samples)


@dataclass(frozen=True)
class Calibration:
    """Ranges of one float graph, and the images they were seen on.

    graph: SHA-256 of the float flatbuffer; the ranges fit no other. checkpoint: SHA-256 of its weights.
    images: the images' indices in the split, in the order they were run.
    """

    graph: str
    checkpoint: str
    dataset: str
    split: str
    split_digest: str
    image: ImageSpec
    method: str
    seed: int
    images: tuple[int, ...]
    ranges: tuple[TensorRange, ...]

    def to_json(self) -> dict[str, Any]:
        own = {**vars(self), "image": self.image.to_json(), "images": list(self.images)}
        return {"format": 1, **own, "ranges": [asdict(tensor) for tensor in self.ranges]}

    def save(self, path: Path) -> None:
        """Writes the calibration file: JSON with a line for each tensor, so that two can be compared."""
        document = self.to_json()
        rows = ",\n".join(f"    {_json(tensor)}" for tensor in document.pop("ranges"))
        head = "".join(f"  {_json(name)}: {_json(value)},\n" for name, value in document.items())
        write_text(path, f'{{\n{head}  "ranges": [\n{rows}\n  ]\n}}\n')

    def check_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Raises InputError where the ranges were measured on other weights."""
        if self.checkpoint != checkpoint.card.weights["sha256"]:
            raise InputError(
                f"the calibration file was made for another checkpoint than {checkpoint.path}. "
                "Make one with `vitconv calibrate`, or leave --calibration out."
            )

    def check_graph(self, graph: bytes) -> None:
        """Raises InputError where the ranges were measured on another float graph."""
        if self.graph != hashlib.sha256(graph).hexdigest():
            raise InputError(
                "the calibration file was made for another graph of this checkpoint (another version of vitconv, "
                "TensorFlow or Keras). Make it anew with `vitconv calibrate`, or leave --calibration out."
            )


def calibrate(config: CalibrateConfig, progress: Progress | None = None) -> Calibration:
    """Writes the calibration file of a checkpoint's integer graph, and returns what it holds."""
    checkpoint = checkpoints.open_checkpoint(config.checkpoint)
    dataset = open_dataset_of(checkpoint, config.dataset)
    writable_directory(config.out.parent)  # before minutes of work, not after
    graph = conversion.convert_float(checkpoint.load(), schemes.find("int8"))
    result = measure(graph, checkpoint, dataset, config.samples, config.seed, progress)
    result.save(config.out)
    return result


def measure(
    graph: bytes,
    checkpoint: Checkpoint,
    dataset: Dataset,
    samples: int = DEFAULT_SAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    """Runs `samples` images of the data set's training split through the checkpoint's float graph."""
    image = checkpoint.card.image
    training = dataset.split("train", image, progress)
    chosen = choose_images(training, samples, seed)
    return Calibration(
        graph=hashlib.sha256(graph).hexdigest(),
        checkpoint=checkpoint.card.weights["sha256"],
        dataset=f"{dataset.name} {dataset.version}",
        split=training.source,
        split_digest=training.digest,
        image=image,
        method="minmax",
        seed=seed,
        images=chosen,
        ranges=measure_ranges(graph, training.images[list(chosen)], progress),
    )


def check_samples(samples: int) -> None:
    """Raises InputError for a number of calibration images below 1."""
    if samples < 1:
        raise InputError(f"calibration needs at least 1 image, not {samples}.")


def choose_images(split: Split, samples: int, seed: int) -> tuple[int, ...]:
    """Indices of `samples` images (all, if there are fewer), as evenly over the classes as the split allows."""
    rng = np.random.default_rng(seed)
    labels = np.asarray(split.labels)
    shuffled = rng.permutation(len(labels))
    # The k-th image of its class comes before any class's (k+1)-th.
    turn = np.empty(len(labels), np.int64)
    seen: dict[int, int] = {}
    for index in shuffled:
        label = int(labels[index])
        turn[index] = seen[label] = seen.get(label, -1) + 1
    ordered = shuffled[np.argsort(turn[shuffled], kind="stable")]
    return tuple(int(index) for index in ordered[:samples])


def read(path: Path) -> Calibration:
    """Reads a calibration file. Raises InputError where it is missing or not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no calibration file {path}. `vitconv calibrate` makes one.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read the calibration file {path}: {error}.") from error
    try:
        return _parse(value)
    except (InputError, AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path} is not a calibration file of this version: {error}. Make it anew with `vitconv calibrate`."
        ) from error


def _parse(value: Mapping[str, Any]) -> Calibration:
    fields = dict(value)
    if fields.pop("format") != 1:
        raise ValueError("its format is not 1")
    ranges = tuple(
        TensorRange(str(item["name"]), float(item["min"]), float(item["max"])) for item in fields["ranges"]
    )
    if not all(np.isfinite((tensor.min, tensor.max)).all() and tensor.min <= tensor.max for tensor in ranges):
        raise ValueError("a range is not two finite numbers in order")
    images = tuple(int(index) for index in fields["images"])
    image = ImageSpec.from_json(fields["image"])
    return Calibration(**{**fields, "image": image, "images": images, "ranges": ranges})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
