"""A checkpoint of ours as a float model: it writes its layers itself in the form that a scheme names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitconv.checkpoints import trained_data
from vitconv.checkpoints.answers import keras_probabilities
from vitconv.checkpoints.checkpoint import Checkpoint, open_checkpoint
from vitconv.checkpoints.pictures import SeenPictures
from vitconv.conversion import float_graph, schemes
from vitconv.conversion.schemes import Scheme
from vitconv.data.datasets import Dataset, Split, is_here
from vitconv.foundation.progress import Progress
from vitconv.tflite.graph import Graph

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class OwnModel(Checkpoint):
    """See `float_model.FloatModel`."""

    @classmethod
    def open(cls, path: Path) -> OwnModel:
        """Raises CheckpointError."""
        checkpoint = open_checkpoint(path)
        return cls(checkpoint.path, checkpoint.card)

    def load(self) -> keras.Model:
        """The network, loaded once."""
        return self._network

    @cached_property
    def _network(self) -> keras.Model:
        return super().load()

    @property
    def folder(self) -> Path:
        return self.path

    @property
    def in_blocks(self) -> bool:
        return True

    @property
    def told(self) -> None:
        return None

    @property
    def rules(self) -> tuple[Mapping[str, Any], ...]:
        return ()

    def predict(self, images: NDArray[np.uint8], progress: Progress | None = None) -> NDArray[np.float32]:
        return keras_probabilities(self, images, progress)

    def float_graphs(self, wanted: Iterable[Scheme], progress: Progress | None = None) -> Mapping[str, Graph]:
        return float_graph.float_graphs(self.load(), wanted, progress)

    def layers_graph(self, scheme: Scheme) -> Graph:
        made_from = scheme if scheme.integer else schemes.find("float32")
        return float_graph.convert_traced(float_graph.trace(self.load(), scheme.form), made_from)

    def open_dataset(self, name: str | None, progress: Progress | None = None) -> Dataset:
        return trained_data.open_dataset_of(self, name, progress)

    def dataset_is_here(self) -> bool:
        return is_here(self.card.dataset["source"])

    def seen(self) -> SeenPictures | None:
        return SeenPictures.of(self)

    def chose_epoch(self, split: Split) -> bool:
        return trained_data.chose_epoch(self, split)
