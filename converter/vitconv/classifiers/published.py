"""Weights of the published examples as a float model: our network of the same structure, in our own forms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitconv.checkpoints.checkpoint import assign
from vitconv.checkpoints.published import PublishedWeights
from vitconv.classifiers.foreign import ForeignModel
from vitconv.classifiers.traced import Traced
from vitconv.conversion import float_graph, schemes
from vitconv.conversion.schemes import Scheme
from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.progress import Progress
from vitconv.models import catalogue
from vitconv.tflite.graph import Graph

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class PublishedModel(ForeignModel):
    """See `float_model.FloatModel`."""

    network: keras.Model = field(kw_only=True, repr=False)

    @property
    def in_blocks(self) -> bool:
        return True

    @property
    def rules(self) -> tuple[Mapping[str, Any], ...]:
        return ()

    def float_graphs(self, wanted: Iterable[Scheme], progress: Progress | None = None) -> Mapping[str, Graph]:
        return float_graph.float_graphs(self.network, wanted, progress)

    def layers_graph(self, scheme: Scheme) -> Graph:
        return float_graph.convert_traced(float_graph.trace(self.network, scheme.form), schemes.find("float32"))


def build(weights: PublishedWeights, image_size: tuple[int, int] | None) -> tuple[keras.Model, ImageSpec]:
    """Our network with these weights, for pictures of that size (None: what the weights tell, or the network's
    own).

    Raises CheckpointError where they do not fit it, InputError for a size that does not.
    """
    entry = catalogue.find(weights.network)
    image = entry.spec(image_size if image_size is not None else weights.side)
    network = entry.build(image, weights.classes)
    assign(network.weights, weights.values(network), weights.path)
    for layer in network.layers:
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    return network, image


def as_opened(path: Path, network: keras.Model, image: ImageSpec) -> Traced:
    """What asks the network for its answers."""
    return Traced(path, lambda images: network(images, training=False), image.shape, scales_pixels=True)
