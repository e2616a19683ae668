"""Weights that a follower of the two published Keras examples saved, for our networks of the same structure.

A .weights.h5 file (or the one inside a .keras file) has each layer's weights under its class and a number in the
order in which the model has them: layers/conv2d_3/vars/0. Names that people gave to layers are not in it, and code
is not needed. So the third convolution here is the third there; what does not fit is refused.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitconv.foundation.errors import CheckpointError

if TYPE_CHECKING:
    import keras

SUFFIX = ".weights.h5"
_INSIDE = "model.weights.h5"
_PLACE = re.compile(r"(.*?)(?:_(\d+))?$")
_ATTENTION = ("query_dense", "key_dense", "value_dense", "output_dense")
_KINDS = ("conv2d", "depthwise_conv2d", "batch_normalization", "layer_normalization", "dense", "normalization")
# Weights that one layer of ours holds, each pair of which is a dense layer there, in this order.
_DENSE_OF_OURS = ("expand", "memory_key", "memory_value", "project")
_PATCH = 2  # pixels a side of EANet's patches

Layer = list[NDArray[Any]]


@dataclass(frozen=True, eq=False)
class PublishedWeights:
    """kind → the weights of each layer of that kind, in the model's order. `network` is the catalogue's name of
    what they are for."""

    path: Path
    layers: Mapping[str, tuple[Layer, ...]]
    network: str

    @property
    def classes(self) -> int:
        """How many the last dense layer tells apart."""
        return int(self.layers["dense"][-1][0].shape[-1])

    @property
    def side(self) -> int | None:
        """Pixels a side of the pictures, where the weights tell: from the number of positions."""
        positions = self.layers.get("embedding", ())
        return round(len(positions[0][0]) ** 0.5) * _PATCH if positions else None

    def values(self, network: keras.Model) -> dict[str, NDArray[Any]]:
        """The weights by the paths of our network's. Raises CheckpointError where there are more or fewer."""
        left = {kind: deque(layers) for kind, layers in self.layers.items()}
        found: dict[str, NDArray[Any]] = {}
        for layer in network.layers:
            own = {str(weight.path).rsplit("/", 1)[-1]: weight for weight in layer.weights}
            for name, value in self._of_layer(type(layer).__name__, own, left):
                shape = tuple(own[name].shape)
                # An attention's kernels have an axis for the heads there.
                by_head = value.ndim > len(shape) and value.size == np.prod(shape)
                found[own[name].path] = value.reshape(shape) if by_head else value
        rest = [f"{len(layers)} of {kind}" for kind, layers in left.items() if layers]
        if rest:
            raise self._other(f"it has more layers: {', '.join(rest)}")
        return found

    def _of_layer(
        self, kind: str, own: Mapping[str, Any], left: Mapping[str, deque[Layer]]
    ) -> Iterator[tuple[str, NDArray[Any]]]:
        """Weight of a layer of ours, by its name → its value."""
        if "query_kernel" in own:
            yield from zip(("gamma", "beta"), self._next(left, "layer_normalization", 2), strict=True)
            parts = [f"{part.removesuffix('_dense')}_{leaf}" for part in _ATTENTION for leaf in ("kernel", "bias")]
            yield from zip(parts, self._next(left, "multi_head_attention", 8), strict=True)
        elif "memory_key_kernel" in own:
            yield from zip(("gamma", "beta"), self._next(left, "layer_normalization", 2), strict=True)
            for part in _DENSE_OF_OURS:
                yield from zip((f"{part}_kernel", f"{part}_bias"), self._next(left, "dense", 2), strict=True)
        elif "position" in own:
            yield from zip(("kernel", "bias"), self._next(left, "dense", 2), strict=True)
            yield "position", self._next(left, "embedding", 1)[0]
        elif "moving_mean" in own:
            names = ("gamma", "beta", "moving_mean", "moving_variance")
            yield from zip(names, self._next(left, "batch_normalization", 4), strict=True)
        elif "gamma" in own:
            yield from zip(("gamma", "beta"), self._next(left, "layer_normalization", 2), strict=True)
        elif "mean" in own:
            yield from zip(("mean", "variance", "count"), self._next(left, "normalization", 3), strict=True)
        elif own:
            theirs = "depthwise_conv2d" if kind == "DepthwiseConv2D" else "conv2d"
            theirs = "dense" if len(own["kernel"].shape) == 2 else theirs
            yield from zip(("kernel", "bias")[: len(own)], self._next(left, theirs, len(own)), strict=True)

    def _next(self, left: Mapping[str, deque[Layer]], kind: str, count: int) -> Layer:
        if not left.get(kind):
            raise self._other(f"it has too few layers of the kind {kind}")
        layer = left[kind].popleft()
        if len(layer) != count:
            raise self._other(f"a layer of the kind {kind} has {len(layer)} weights, not {count}")
        return layer

    def _other(self, why: str) -> CheckpointError:
        return CheckpointError(
            f"the weights in {self.path} are not those of {self.network}: {why}. Export the whole model, saved "
            "as .keras."
        )


def read(path: Path) -> PublishedWeights:
    """Of a .weights.h5 or .keras file. Raises CheckpointError for anything else, and for other networks."""
    import h5py

    try:
        source: Any = path
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                source = io.BytesIO(archive.read(_INSIDE))
        with h5py.File(source, "r") as file:
            stored: dict[str, NDArray[Any]] = {}
            file.visititems(lambda name, item: _keep(stored, name, item))
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}.") from None
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"cannot read {path} as weights that Keras saved: {error}.") from error
    layers = _by_kind(stored)
    network = _network(layers)
    if network is None:
        counts = ", ".join(f"{len(found)} {kind}" for kind, found in layers.items()) or "no layers"
        raise CheckpointError(
            f"the weights in {path} are of neither published example, MobileViT or EANet: it has {counts}. "
            "Export the "
            "whole model, saved as .keras."
        )
    found = PublishedWeights(path, layers, network)
    if any(not np.isfinite(value).all() for kind in layers.values() for layer in kind for value in layer):
        raise CheckpointError(f"{path} holds NaN or infinity: its training has failed.")
    return found


def _keep(stored: dict[str, NDArray[Any]], name: str, item: Any) -> None:
    if hasattr(item, "shape") and "/vars/" in name and "seed_generator" not in name:
        stored[name] = np.asarray(item)


def _network(layers: Mapping[str, tuple[Layer, ...]]) -> str | None:
    counts = {kind: len(found) for kind, found in layers.items()}
    attention, norms = counts.get("multi_head_attention", 0), counts.get("layer_normalization", 0)
    if attention and counts.get("depthwise_conv2d") and norms == 2 * attention:
        return "mobilevit_xxs"
    if "embedding" in counts and norms and not counts.get("conv2d"):
        return "eanet_self_attention" if attention else "eanet"
    return None


def _by_kind(stored: Mapping[str, NDArray[Any]]) -> dict[str, tuple[Layer, ...]]:
    """Layers of Keras's by their class; inside others' classes a kernel with a bias is a dense layer, and a single
    matrix an embedding."""
    owners: dict[str, dict[int, NDArray[Any]]] = {}
    for name, value in stored.items():
        owner, _, index = name.rpartition("/vars/")
        owners.setdefault(owner, {})[int(index)] = value
    placed: dict[str, list[tuple[tuple[int, int, int], Layer]]] = {}
    attention: dict[tuple[int, int, int], dict[str, Layer]] = {}
    for owner, variables in owners.items():
        layer = [variables[index] for index in sorted(variables)]
        # "layers/sequential/layers/normalization" and "layers/patch_embedding/proj", but not "layers" alone
        steps = owner.split("/layers/")[-1].removeprefix("layers/").split("/")
        kind, number = _kind_and_number(steps[0])
        if kind == "multi_head_attention" and len(steps) == 2:
            attention.setdefault((1, number, 0), {})[steps[1]] = layer
        elif len(steps) == 1 and kind in _KINDS:
            placed.setdefault(kind, []).append(((1, number, 0), layer))
        else:  # of a class of their own: before Keras's, as patches are cut first
            inner = "dense" if len(layer) == 2 and layer[0].ndim == 2 else "embedding"
            placed.setdefault(inner, []).append(((0, number, len(placed)), layer))
    for place, parts in attention.items():
        layer = [value for part in _ATTENTION for value in parts.get(part, ())]
        placed.setdefault("multi_head_attention", []).append((place, layer))
    return {
        kind: tuple(layer for _, layer in sorted(found, key=lambda one: one[0])) for kind, found in placed.items()
    }


def _kind_and_number(name: str) -> tuple[str, int]:
    """conv2d_3 → conv2d and 3; the first has no number."""
    found = _PLACE.match(name)
    assert found is not None
    return (found[1], int(found[2])) if found[2] is not None else (name, 0)
