"""A classifier from a file of somebody else's, as a float model: its graph is found, fixed and rewritten by
rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vitconv.checkpoints.pictures import SeenPictures
from vitconv.classifiers.told import Card, Pixels, code_entry
from vitconv.conversion import rewriting, rules
from vitconv.conversion.compaction import compact
from vitconv.conversion.dense_layers import as_convolutions
from vitconv.conversion.float_graph import stored
from vitconv.conversion.folding import fold_pixel_scaling
from vitconv.conversion.half_range import within_half_range
from vitconv.conversion.rewriting import Applied
from vitconv.conversion.row_products import as_row_products
from vitconv.conversion.schemes import Scheme
from vitconv.data.datasets import Dataset, Split, open_dataset
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.pictures.photographs import sample_photographs
from vitconv.data.spellings import folded
from vitconv.foundation.disk.file_names import safe_name
from vitconv.foundation.errors import DatasetError, ModelFileError
from vitconv.foundation.progress import Progress
from vitconv.tflite.graph import Graph

_BATCH = 32


class Opened(Protocol):
    """A file that has been opened, of whichever kind.

    input_shape: height, width and channels, None for what it leaves open. scales_pixels: whether it is seen to
    take raw pixels, 0 to 255.
    """

    @property
    def input_shape(self) -> tuple[int | None, int | None, int | None]: ...

    @property
    def scales_pixels(self) -> bool: ...

    def answers(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [N, H, W, 3], scaled as it takes them → what it gives, float32 [N, classes]."""

    def graph(self, image: ImageSpec, pixels: Pixels, softmax: bool, name: str) -> Graph:
        """Raw pixels, float32 [1, H, W, 3] → probabilities, float32 [1, classes]."""


@dataclass(frozen=True, eq=False)
class ForeignModel:
    """See `float_model.FloatModel`. `softmax`: whether one is appended, for the file gives logits."""

    path: Path
    digest: str
    opened: Opened = field(repr=False)
    image: ImageSpec
    labels: tuple[str, ...]
    pixels: Pixels
    softmax: bool
    code: Path | None = None

    card: None = field(default=None, init=False)
    folder: None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def model(self) -> str:
        return safe_name(self.path.name.partition(".")[0])

    @property
    def in_blocks(self) -> bool:
        return False

    @property
    def told(self) -> Mapping[str, Any]:
        return Card(self.pixels.text, self.softmax, code_entry(self.code) if self.code else None).to_json()

    @property
    def rules(self) -> tuple[Mapping[str, Any], ...]:
        """Of the graphs that were made so far."""
        made = vars(self)
        applied: list[Applied] = []
        for name in ("_float", "_integer"):
            applied += made[name][1] if name in made else ()
        return tuple(one.to_json() for one in applied)

    # --- answers ---

    def predict(self, images: NDArray[np.uint8], progress: Progress | None = None) -> NDArray[np.float32]:
        """Raises ModelFileError where an answer is NaN or infinite."""
        rows = []
        for start in range(0, len(images), _BATCH):
            if progress:
                progress("verifying: the model itself", start, len(images))
            rows.append(answers_of(self.opened, images[start : start + _BATCH], self.pixels, self.softmax))
        if progress:
            progress("verifying: the model itself", len(images), len(images))
        found = np.concatenate(rows)
        whole = np.isfinite(found).all(axis=1)
        if not whole.all():
            raise ModelFileError(
                f"{self.path} gives NaN or infinity for {np.sum(~whole)} of {len(images)} pictures, so its "
                "weights are broken, or pixels are not what it was trained on. Look at --pixels."
            )
        return found

    # --- graphs ---

    @cached_property
    def _pictures(self) -> NDArray[np.uint8]:
        """What rules are tried on."""
        return sample_photographs(self.image)[::2]

    @cached_property
    def _float(self) -> tuple[Graph, tuple[Applied, ...]]:
        raw = self.opened.graph(self.image, self.pixels, self.softmax, self.model)
        graph = rewriting.fixed(raw, (1, *self.image.shape))
        return rewriting.rewrite(graph, rules.FLOAT_RULES, self._pictures)

    @cached_property
    def _float_file(self) -> Graph:
        """All weights in float32."""
        graph = within_half_range(self._float[0], self._pictures)
        return compact(as_row_products(graph), nested=True)

    @cached_property
    def _integer(self) -> tuple[Graph, tuple[Applied, ...]]:
        graph, applied = rewriting.rewrite(self._float[0], rules.INTEGER_RULES, self._pictures)
        return compact(as_convolutions(fold_pixel_scaling(graph)), nested=True), applied

    def float_graphs(self, wanted: Iterable[Scheme], progress: Progress | None = None) -> Mapping[str, Graph]:
        schemes = list(wanted)
        graphs = {}
        for done, scheme in enumerate(schemes):
            if progress:
                progress("converting", done, len(schemes))
            graphs[scheme.name] = self._graph(scheme)
        return graphs

    def _graph(self, scheme: Scheme) -> Graph:
        if scheme.needs_calibration:
            return self._integer[0]
        return stored(self._float_file, scheme)

    def layers_graph(self, scheme: Scheme) -> Graph:
        if scheme.needs_calibration:
            return self._integer[0]
        return self._float_file

    # --- pictures ---

    def open_dataset(self, name: str | None, progress: Progress | None = None) -> Dataset:
        """Raises DatasetError where none is named, and for classes that the model does not have."""
        if name is None:
            raise DatasetError(
                f"nobody knows which pictures {self.path} was trained on. Name a data set with its classes "
                "(--dataset), or a folder of pictures without classes (--images)."
            )
        dataset = open_dataset(name, progress=progress)
        return dataset.for_evaluation(self._checked_labels(dataset), np.zeros(0, np.uint64))

    def _checked_labels(self, dataset: Dataset) -> tuple[str, ...]:
        strange = [label for label in dataset.labels if label not in self.labels]
        if not strange:
            return self.labels
        close = next((label for label in self.labels if folded(label) == folded(strange[0])), None)
        hint = f" (its {close!r} is spelt otherwise)" if close else ""
        raise DatasetError(
            f"the labels of {dataset.name} don't match those of {self.path}: {strange[0]!r} is none of its "
            f"{len(self.labels)}{hint}. Give pictures of its classes, or its labels in this spelling (--labels)."
        )

    def dataset_is_here(self) -> bool:
        return False

    def seen(self) -> SeenPictures | None:
        return None

    def chose_epoch(self, split: Split) -> bool:
        return False


def answers_of(opened: Opened, images: NDArray[np.uint8], pixels: Pixels, softmax: bool) -> NDArray[np.float32]:
    """What a file gives for pictures, uint8 [N, H, W, 3], whose pixels are scaled so: float32 [N, classes]."""
    scale, shift = (np.array(values, np.float32) for values in pixels.scale_and_shift)
    found = opened.answers(images.astype(np.float32) * scale + shift)
    if not softmax:
        return found
    with np.errstate(invalid="ignore"):
        raised = np.exp(found - found.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))
