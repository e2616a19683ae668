"""Structured pruning of the catalogue's networks: which units, channels, heads and memory units matter least, and
the narrower network that is left without them.

A unit's importance is that of Molchanov et al., 2019 ("Importance Estimation for Neural Network Pruning",
equation 8): (Σ g·w)² over its weights, in the mean of batches; g is the loss's gradient. Units of one kind are
compared over all layers, each layer's scores divided by their root mean square.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# A kind's units go in eights, as XNNPACK's kernels take channels; heads and what has few units go alone.
STEPS = {"MLP units": 8, "channels": 8, "memory units": 4, "heads": 1}


@dataclass(frozen=True)
class Slices:
    """Where a unit's weights are: `axis` of the variable called `path`, in runs of `run` values a unit."""

    path: str
    axis: int
    run: int = 1


@dataclass(frozen=True)
class Group:
    """What is cut together: `count` units of one kind in one layer.

    scored   the weights that the importance is summed over
    cut      all weights that have a place for each unit
    changed  by layer, what of its configuration becomes how many units are left, and how many of it a unit is
    """

    name: str
    kind: str
    count: int
    scored: tuple[Slices, ...]
    cut: tuple[Slices, ...]
    changed: Mapping[str, Mapping[str, int]]


def groups(model: Any) -> Iterator[Group]:
    """All of a model's, in its order."""
    layers = {layer.name: layer for layer in model.layers}
    for name, layer in layers.items():
        stem, _, last = name.rpartition(".")
        kind = type(layer).__name__
        if last == "mlp1":
            into = (Slices(f"{name}/kernel", 1), Slices(f"{name}/bias", 0))
            cut = (*into, Slices(f"{stem}.mlp2/kernel", 0))
            yield Group(stem, "MLP units", layer.units, into, cut, {name: {"units": 1}})
        elif last == "expand":
            norms = [f"{stem}.{one}_bn" for one in ("expand", "depthwise")]
            parts = ("gamma", "beta", "moving_mean", "moving_variance")
            cut = (
                Slices(f"{name}/kernel", 3), Slices(f"{stem}.depthwise/kernel", 2),
                Slices(f"{stem}.project/kernel", 2),
                *(Slices(f"{norm}/{part}", 0) for norm in norms for part in parts),
            )  # fmt: skip
            scored = tuple(Slices(f"{norms[1]}/{part}", 0) for part in parts[:2])
            yield Group(stem, "channels", layer.filters, scored, cut, {name: {"filters": 1}})
        elif kind == "NormedExternalAttention":
            memory = (Slices(f"{name}/memory_key_kernel", 1), Slices(f"{name}/memory_key_bias", 0))
            yield Group(
                name, "memory units", layer.units, memory, (*memory, Slices(f"{name}/memory_value_kernel", 0)),
                {name: {"units": 1}},
            )  # fmt: skip
            head = layer.head_dim
            inward = (Slices(f"{name}/expand_kernel", 1, head), Slices(f"{name}/expand_bias", 0, head))
            outward = (Slices(f"{name}/project_kernel", 0, head),)
            yield Group(name, "heads", layer.heads, outward, (*inward, *outward), {name: {"heads": 1}})
        elif kind == "NormedSelfAttention":
            size = layer.key_dim
            inward = tuple(
                slices
                for part in ("query", "key", "value")
                for slices in (Slices(f"{name}/{part}_kernel", 1, size), Slices(f"{name}/{part}_bias", 0, size))
            )
            outward = (Slices(f"{name}/output_kernel", 0, size),)
            yield Group(name, "heads", layer.heads, outward, (*inward, *outward), {name: {"heads": 1}})


def importance(
    model: Any, found: Sequence[Group], batches: Sequence[tuple[np.ndarray, np.ndarray]]
) -> list[np.ndarray]:
    """For each group float64 [count]; `batches` are raw pixels [B, H, W, 3] and labels [B]."""
    import keras
    import tensorflow as tf

    variables = {variable.path: variable for variable in model.trainable_variables}
    wanted = sorted({slices.path for group in found for slices in group.scored})
    loss = keras.losses.SparseCategoricalCrossentropy()

    @tf.function
    def gradients(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(labels, model(images, training=False))
        return tape.gradient(value, [variables[path].value for path in wanted])

    sums = [np.zeros(group.count) for group in found]
    for images, labels in batches:
        products = {
            path: np.asarray(gradient, np.float64) * np.asarray(variables[path])
            for path, gradient in zip(
                wanted, gradients(tf.cast(images, tf.float32), tf.constant(labels)), strict=True
            )
        }
        for total, group in zip(sums, found, strict=True):
            total += np.square(sum(_by_unit(products[one.path], one, group.count) for one in group.scored))
    return [total / len(batches) for total in sums]


def _by_unit(values: np.ndarray, slices: Slices, count: int) -> np.ndarray:
    return np.asarray(np.moveaxis(values, slices.axis, 0).reshape(count, -1).sum(axis=1))


def kept(found: Sequence[Group], scores: Sequence[np.ndarray], shares: Mapping[str, float]) -> list[np.ndarray]:
    """For each group the units that stay, ascending. `shares` says which share of a kind's units that is."""
    staying = []
    for group, own in zip(found, scores, strict=True):
        share = shares.get(group.kind, 1.0)
        step = STEPS[group.kind]
        alike = [_relative(one) for other, one in zip(found, scores, strict=True) if other.kind == group.kind]
        limit = np.quantile(np.concatenate(alike), 1 - share) if share < 1 else -1.0
        count = int(np.count_nonzero(_relative(own) >= limit))
        count = min(group.count, max(step, round(count / step) * step))
        staying.append(np.sort(np.argsort(-own, kind="stable")[:count]))
    return staying


def _relative(scores: np.ndarray) -> np.ndarray:
    return np.asarray(scores / np.sqrt(np.mean(np.square(scores))))


def narrowed(build: Callable[[], Any], found: Sequence[Group], staying: Sequence[np.ndarray]) -> Any:
    """The network with as many units as stay, and fresh weights."""
    import keras

    changes: dict[str, dict[str, int]] = {}
    for group, units in zip(found, staying, strict=True):
        for layer, fields in group.changed.items():
            changes.setdefault(layer, {}).update({field: each * len(units) for field, each in fields.items()})

    def copy(layer: Any) -> Any:
        return layer.__class__.from_config({**layer.get_config(), **changes.get(layer.name, {})})

    return keras.models.clone_model(build(), clone_function=copy)


def give_weights(of: Any, to: Any, found: Sequence[Group], staying: Sequence[np.ndarray]) -> None:
    """The staying units' weights, and all others, into the narrower network."""
    values = {variable.path: np.asarray(variable) for variable in of.weights}
    for group, units in zip(found, staying, strict=True):
        for one in group.cut:
            places = (units[:, np.newaxis] * one.run + np.arange(one.run)).ravel()
            values[one.path] = np.take(values[one.path], places, axis=one.axis)
    for variable in to.weights:
        variable.assign(values[variable.path])
