"""Which values flow through a model: representative images in, the range of every activation out.

Images come from the training split, prepared exactly as for training's evaluation and as for the phone: raw
0–255 pixels. What comes out is a small file that can be reviewed, kept, and used again without any image.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from vitconv.classifiers.float_model import FloatModel
from vitconv.classifiers.opening import check_answers, open_model
from vitconv.classifiers.told import Told
from vitconv.conversion import schemes
from vitconv.data.datasets import Dataset, open_pictures
from vitconv.data.pictures.images import ImageDocument, ImageSpec
from vitconv.foundation import documents
from vitconv.foundation.configs import check_types
from vitconv.foundation.disk.files import writable_directory, write_text
from vitconv.foundation.disk.writing import writing
from vitconv.foundation.documents import Sha256
from vitconv.foundation.errors import InputError, OutputError, UnknownNameError
from vitconv.foundation.progress import Progress
from vitconv.quantization import output_steps
from vitconv.quantization.bias_correction import BiasCorrection, BiasCorrector
from vitconv.quantization.choosing import choose_images, digests_of, trained_on
from vitconv.quantization.histograms import METHODS, Method
from vitconv.quantization.hybrid import choice
from vitconv.quantization.hybrid.kept import Kept
from vitconv.quantization.output_steps import Rounded
from vitconv.quantization.picture_checks import check_pictures
from vitconv.quantization.ranges import DEFAULT_METHOD, TensorRange, measure_ranges, structure_digest
from vitconv.tflite.graph import Graph

logger = logging.getLogger("vitconv")

DEFAULT_SAMPLES = 100

_FORMAT = 4  # of the file


@dataclass(frozen=True)
class CalibrateConfig:
    """What to calibrate: a checkpoint, or a file of another tool, of which `told` says what the file does not.
    `dataset` None means the one the checkpoint was trained on; `images` is a folder of pictures without classes in
    its place. `method` says how a range is chosen from the values seen: see `histograms.Histogram.range`."""

    checkpoint: Path
    out: Path
    dataset: str | None = None
    samples: int = DEFAULT_SAMPLES
    seed: int = 0
    method: Method = DEFAULT_METHOD
    images: Path | None = None
    told: Told = field(default_factory=Told)

    def __post_init__(self) -> None:
        check_types(self)
        check_samples(self.samples)
        check_method(self.method)


@dataclass(frozen=True)
class GraphRanges:
    """The ranges of one scheme's float graph. `sha256` is of its structure (`ranges.structure_digest`): the ranges
    fit no other. `kept` is what stays float in a hybrid scheme, None in one that is integers throughout. `biases`
    are the corrections of its integer layers; a file of an earlier version has none."""

    scheme: str
    sha256: str
    ranges: tuple[TensorRange, ...]
    kept: Kept | None = None
    biases: tuple[BiasCorrection, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "scheme": self.scheme,
            "sha256": self.sha256,
            "kept": self.kept.to_json() if self.kept else None,
            "ranges": [asdict(tensor) for tensor in self.ranges],
            "biases": [{"name": one.name, "added": list(one.added)} for one in self.biases],
        }


@dataclass(frozen=True)
class Calibration:
    """Ranges of the float graphs that integer schemes are made from, and the images they were seen on.

    checkpoint: SHA-256 of its weights. images: the images' indices in the split, in the order they were run.
    answers: what uint8 probabilities leave of the network's answers to them; None in a file of an earlier version.
    """

    checkpoint: str
    dataset: str
    split: str
    split_digest: str
    image: ImageSpec
    method: str
    seed: int
    images: tuple[int, ...]
    graphs: tuple[GraphRanges, ...]
    answers: Rounded | None = field(default=None, compare=False)

    def to_json(self) -> dict[str, Any]:
        own = {**vars(self), "image": self.image.to_json(), "images": list(self.images)}
        del own["answers"]
        if self.answers is not None:
            own["answers"] = self.answers.to_json()
        return {"format": _FORMAT, **own, "graphs": [graph.to_json() for graph in self.graphs]}

    def save(self, path: Path) -> None:
        """Writes the calibration file: JSON with a line for each tensor, so that two can be compared."""
        document = self.to_json()
        graphs = ",\n".join(map(_graph_text, document.pop("graphs")))
        head = "".join(f"  {_json(name)}: {_json(value)},\n" for name, value in document.items())
        write_text(path, f'{{\n{head}  "graphs": [\n{graphs}\n  ]\n}}\n')

    def check_checkpoint(self, checkpoint: FloatModel) -> None:
        """Raises InputError where the ranges were measured on other weights."""
        if self.checkpoint != checkpoint.digest:
            raise InputError(
                f"the calibration file was made for other weights than those of {checkpoint.name}. "
                "Make a new one with `vitconv calibrate`, or leave --calibration out."
            )

    def fits(self, graphs: Mapping[str, Graph]) -> bool:
        """Whether it has the ranges of these float graphs, given by scheme."""
        known = {(graph.scheme, graph.sha256) for graph in self.graphs}
        return all((scheme, structure_digest(graph)) in known for scheme, graph in graphs.items())

    def of_graph(self, scheme: str, graph: Graph) -> GraphRanges:
        """What was measured on a scheme's float graph. Raises InputError where that was another one."""
        digest = structure_digest(graph)
        for known in self.graphs:
            if (known.scheme, known.sha256) == (scheme, digest):
                return known
        raise InputError(
            f"the calibration file does not fit the graph of {scheme}: another version of vitconv, TensorFlow or "
            "Keras made it. Make a new one with `vitconv calibrate`, or leave --calibration out."
        )

    def joined(self, earlier: Calibration) -> Calibration:
        """With the graphs of an earlier calibration that this one lacks, where both are of the same images."""
        if replace(earlier, graphs=()) != replace(self, graphs=()):
            return self
        known = {graph.scheme for graph in self.graphs}
        return replace(self, graphs=(*self.graphs, *(g for g in earlier.graphs if g.scheme not in known)))

    @property
    def advice(self) -> str | None:
        """What to tell a user about too few images; None where there is nothing to tell."""
        if len(self.images) >= DEFAULT_SAMPLES:
            return None
        return (
            f"calibrated on only {len(self.images)} images, so rare activations may be clipped. "
            f"Use at least {DEFAULT_SAMPLES} (--samples) if the data set has that many."
        )


def calibrate(config: CalibrateConfig, progress: Progress | None = None) -> Calibration:
    """Writes the calibration file of a checkpoint's integer graphs, and returns what it holds.

    What a user should know of the images goes to the logger "vitconv".
    """
    model = open_model(config.checkpoint, config.told, config.dataset, progress)
    dataset = (
        model.open_dataset(config.dataset) if config.images is None else open_pictures(config.images, progress)
    )
    writable_directory(config.out.parent)  # before minutes of work, not after
    if config.out.is_dir():
        raise OutputError(f"cannot write {config.out}: it is a folder, and a calibration is one file.")
    with writing(config.out):
        check_answers(model, dataset, progress)
        calibrated = [scheme for scheme in schemes.SCHEMES.values() if scheme.needs_calibration]
        graphs = model.float_graphs(calibrated, progress)
        result = measure(graphs, model, dataset, config.samples, config.seed, config.method, progress)
        result.save(config.out)
    if result.answers is not None and result.answers.undecided:
        logger.warning(
            f"{result.answers.sentence('calibration images')}. Export the integer files with "
            f"{output_steps.FLOAT_OUTPUT}: their last softmax is then computed in float."
        )
    return result


def measure(
    graphs: Mapping[str, Graph],
    model: FloatModel,
    dataset: Dataset,
    samples: int = DEFAULT_SAMPLES,
    seed: int = 0,
    method: Method = DEFAULT_METHOD,
    progress: Progress | None = None,
) -> Calibration:
    """Runs `samples` images of the data set's training split through float graphs, given by scheme.

    What is doubtful about them goes to the logger "vitconv". Raises InputError where there are none to take but
    those that accuracy is measured on, and for images whose ranges would be useless (see `picture_checks`).
    """
    image = model.image
    training = dataset.split("train", image, progress)
    evaluation = dataset.split(dataset.evaluation_name, image, progress)
    chosen = choose_images(training, samples, seed, held_out=digests_of(evaluation.images))
    if not chosen:
        raise InputError(
            f"all training images of {dataset.name} are also in the held-out split ({evaluation.source}), on "
            "which accuracy is measured. Calibrate on other images."
        )
    images = training.images[list(chosen)]
    familiar = trained_on(model.seen(), training.pictures[list(chosen)] if len(training.pictures) else None)
    for doubt in check_pictures(images, dataset.name, model.card.pixels if model.card else None, familiar):
        logger.warning(doubt)
    # By graph: schemes may share one.
    answers = {graph: output_steps.of_file(graph.data, images) for graph in dict.fromkeys(graphs.values())}
    return Calibration(
        checkpoint=model.digest,
        dataset=f"{dataset.name} {dataset.version}",
        split=training.source,
        split_digest=training.digest,
        image=image,
        method=method,
        seed=seed,
        images=chosen,
        graphs=tuple(_measure_graphs(graphs, images, answers, method, progress, model.in_blocks)),
        answers=output_steps.rounded(next(iter(answers.values()))),
    )


def _measure_graphs(
    graphs: Mapping[str, Graph],
    images: np.ndarray,
    answers: Mapping[Graph, np.ndarray],
    method: Method,
    progress: Progress | None,
    in_blocks: bool,
) -> Iterator[GraphRanges]:
    """Of each scheme. answers: each graph's own, to these images."""
    measured: dict[Graph, tuple[tuple[TensorRange, ...], BiasCorrector]] = {}
    for scheme, graph in graphs.items():
        if graph not in measured:
            ranges = measure_ranges(graph, images, progress, method)
            measured[graph] = ranges, BiasCorrector(graph, ranges, images, answers[graph])
        ranges, corrector = measured[graph]
        kept = None
        if schemes.find(scheme).hybrid:
            kept = choice.choose(graph, ranges, images, answers[graph], progress, by_branches=not in_blocks)
        biases = corrector.measure(kept.tensors if kept else (), progress)
        yield GraphRanges(scheme, structure_digest(graph), ranges, kept, biases)


def check_samples(samples: int) -> None:
    """Raises InputError for a number of calibration images below 1."""
    if samples < 1:
        raise InputError(f"calibration needs at least 1 image, not {samples}.")


def check_method(method: str) -> None:
    """Raises UnknownNameError for a method that there isn't."""
    if method not in METHODS:
        raise UnknownNameError("calibration method", method, METHODS)


class _Format(msgspec.Struct, frozen=True):
    """Looked at first: a file of another format has other keys."""

    format: int

    def __post_init__(self) -> None:
        if self.format != _FORMAT:
            raise ValueError(f"its format is {self.format}, and this version reads format {_FORMAT}")


class GraphDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A GraphRanges in the file."""

    scheme: str
    sha256: Sha256
    kept: Kept | None
    ranges: tuple[TensorRange, ...]
    biases: tuple[BiasCorrection, ...] = ()

    def __post_init__(self) -> None:
        for tensor in self.ranges:
            if not tensor.min <= tensor.max:
                raise ValueError(f"the range of {tensor.name!r} runs from {tensor.min} to {tensor.max}")


class CalibrationDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A calibration file."""

    format: int
    checkpoint: Sha256
    dataset: str
    split: str
    split_digest: str
    image: ImageDocument
    method: str
    seed: int
    images: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    graphs: tuple[GraphDocument, ...]
    answers: Rounded | None = None


def read(path: Path) -> Calibration:
    """Reads a calibration file. Raises InputError where it is missing or not one."""
    remedy = "Make it anew with `vitconv calibrate`."
    try:
        return documents.read(path, _from_json, "calibration file", remedy)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"there is no calibration file {path}. `vitconv calibrate` makes one.") from None


def _from_json(value: Any) -> Calibration:
    documents.convert(value, _Format)
    document = documents.convert(value, CalibrationDocument)
    check_method(document.method)
    fields = {name: getattr(document, name) for name in document.__struct_fields__ if name != "format"}
    graphs = tuple(
        GraphRanges(one.scheme, one.sha256, one.ranges, one.kept, one.biases) for one in document.graphs
    )
    return Calibration(**{**fields, "image": document.image.spec, "graphs": graphs})


def _graph_text(graph: Mapping[str, Any]) -> str:
    head = "".join(f"      {_json(name)}: {_json(graph[name])},\n" for name in ("scheme", "sha256", "kept"))
    lists = (
        f"      {_json(name)}: [\n" + ",\n".join(f"        {_json(one)}" for one in graph[name]) + "\n      ]"
        for name in ("ranges", "biases")
    )
    return f"    {{\n{head}" + ",\n".join(lists) + "\n    }"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
