"""What stands at the joint between the many kinds of trained models and the stages that follow.

Behind it nothing knows whether a model is a checkpoint of ours, a Keras file, a SavedModel or a .tflite file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vitconv.checkpoints.checkpoint import Card
from vitconv.checkpoints.pictures import SeenPictures
from vitconv.conversion.schemes import Scheme
from vitconv.data.datasets import Dataset, Split
from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.progress import Progress
from vitconv.tflite.graph import Graph


class FloatModel(Protocol):
    """A trained classifier of pictures in float.

    name: what opens it again. model: what its files are called. labels: the class names, in the order of the
    outputs. digest: SHA-256 (hex) that tells its weights from others. card: what a training of ours wrote down of
    it, None where none did. folder: where a training of ours left files beside it, likewise.
    """

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def image(self) -> ImageSpec: ...

    @property
    def digest(self) -> str: ...

    @property
    def card(self) -> Card | None: ...

    @property
    def folder(self) -> Path | None: ...

    @property
    def in_blocks(self) -> bool:
        """Whether the names of its layers tell their blocks, as those of our networks do: block.layer."""

    @property
    def told(self) -> Mapping[str, Any] | None:
        """What a user said of it that the file does not say, as the manifest keeps it; None where nothing is."""

    @property
    def rules(self) -> tuple[Mapping[str, Any], ...]:
        """Which rules rewrote its graphs, as the manifest has it (`rewriting.Applied`); empty where none had
        to."""

    def predict(self, images: NDArray[np.uint8], progress: Progress | None = None) -> NDArray[np.float32]:
        """Its own answers: uint8 [N, H, W, 3] → probabilities, float32 [N, classes]."""

    def float_graphs(self, wanted: Iterable[Scheme], progress: Progress | None = None) -> Mapping[str, Graph]:
        """Scheme → the graph of a scheme that needs no calibration, or the float graph that a calibrated scheme
        starts from. Input float32 [1, H, W, 3] raw pixels 0–255, output float32 [1, classes] probabilities."""

    def layers_graph(self, scheme: Scheme) -> Graph:
        """The float graph whose layers a file of that scheme can be compared with."""

    def open_dataset(self, name: str | None, progress: Progress | None = None) -> Dataset:
        """The data set of that name with the model's labels; where it is None, the one it was trained on."""

    def dataset_is_here(self) -> bool:
        """Whether the data set that it was trained on is known, and needs no download."""

    def seen(self) -> SeenPictures | None:
        """Which pictures it was trained and chosen on, where that is known."""

    def chose_epoch(self, split: Split) -> bool:
        """Whether it was chosen on pictures of that split."""
