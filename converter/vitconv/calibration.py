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

from vitconv import flatbuffer
from vitconv.datasets import Dataset, Progress, Split
from vitconv.errors import InputError
from vitconv.files import write_json
from vitconv.images import ImageSpec

DEFAULT_SAMPLES = 100


@dataclass(frozen=True)
class TensorRange:
    """The smallest and the largest value that a tensor of the float graph held over all images."""

    name: str
    min: float
    max: float


@dataclass(frozen=True)
class Calibration:
    """Ranges of one float graph, and the images they were seen on.

    graph: SHA-256 of the float flatbuffer; the ranges fit no other.
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
        """Writes the calibration file (JSON)."""
        write_json(path, self.to_json())


def read(path: Path) -> Calibration:
    """Reads a calibration file. Raises InputError where it is missing or not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no calibration file {path}. `vitconv calibrate` makes one.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the calibration file {path}: {error}.") from error
    try:
        return _parse(value)
    except (InputError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path} is not a calibration file of this version: {error}.") from error


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


def calibrate(
    graph: bytes,
    checkpoint: str,
    dataset: Dataset,
    spec: ImageSpec,
    samples: int = DEFAULT_SAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    """Runs `samples` images of the data set's training split through a float graph.

    graph: a float .tflite with input float32 [1, height, width, 3]. checkpoint: its weights' SHA-256.
    """
    if samples < 1:
        raise InputError(f"calibration needs at least 1 image, not {samples}.")
    training = dataset.split("train", spec, progress)
    chosen = choose_images(training, samples, seed)
    ranges = measure_ranges(graph, training.images[list(chosen)], progress)
    return Calibration(
        graph=hashlib.sha256(graph).hexdigest(),
        checkpoint=checkpoint,
        dataset=f"{dataset.name} {dataset.version}",
        split=training.source,
        split_digest=training.digest,
        image=spec,
        method="minmax",
        seed=seed,
        images=chosen,
        ranges=ranges,
    )


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


def measure_ranges(graph: bytes, images: np.ndarray, progress: Progress | None = None) -> tuple[TensorRange, ...]:
    """The range of every float activation over uint8 images [N, H, W, 3], in the order of the graph's tensors.

    The input's range is 0–255 whatever the images hold, so that a stored pixel is the pixel itself.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=graph,
        num_threads=2,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    activations = _activation_indices(flatbuffer.parse(graph, "the float graph"))
    low = dict.fromkeys(activations, np.inf)
    high = dict.fromkeys(activations, -np.inf)
    for done, image in enumerate(images):
        if progress:
            progress("calibrating", done, len(images))
        interpreter.set_tensor(source["index"], image[np.newaxis].astype(np.float32))
        interpreter.invoke()
        for index in activations:
            values = interpreter.get_tensor(index)
            low[index] = min(low[index], float(values.min()))
            high[index] = max(high[index], float(values.max()))
    if progress:
        progress("calibrating", len(images), len(images))
    low[source["index"]], high[source["index"]] = 0.0, 255.0
    return tuple(TensorRange(activations[index], low[index], high[index]) for index in activations)


def with_ranges(graph: bytes, ranges: tuple[TensorRange, ...]) -> bytes:
    """The float graph with the ranges in its tensors' quantization records, as the quantizer wants them."""
    from ai_edge_litert.schema_py_generated import QuantizationParametersT

    model = flatbuffer.parse(graph, "the float graph")
    tensors = model.subgraphs[0].tensors
    for (index, _), tensor_range in zip(_activation_indices(model).items(), ranges, strict=True):
        tensors[index].quantization = QuantizationParametersT()
        tensors[index].quantization.min = [tensor_range.min]
        tensors[index].quantization.max = [tensor_range.max]
    return flatbuffer.serialize(model)


def _activation_indices(model: Any) -> dict[int, str]:
    """Index → name of the float tensors that are computed (or are the input), in the graph's order."""
    (subgraph,) = model.subgraphs
    computed = set(subgraph.inputs)
    for operator in subgraph.operators:
        computed.update(operator.outputs)
    return {
        index: flatbuffer.text(tensor.name)
        for index, tensor in enumerate(subgraph.tensors)
        if index in computed and flatbuffer.tensor_dtype(tensor) == "float32"
    }
