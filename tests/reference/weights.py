"""Weights for the tests: values as after training, and the same values put into another model."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

# Squared scale × fan-in of the kernels. Swish passes a half or less of what it is given on to the next
# convolution; dense layers stand behind a layer normalisation.
_CONVOLUTION_GAIN = 3
_DENSE_GAIN = 1

_PROBES = 16


def pictures(count: int, size: int, seed: int) -> np.ndarray:
    """Random images, float32 [count, size, size, 3], 0–255: 4 × 4 coloured squares with noise on them.

    They differ in the large, as photographs do, and in every pixel. `size` is a multiple of 4.
    """
    random = np.random.default_rng(seed)
    squares = random.uniform(0, 255, (count, 4, 4, 3)).repeat(size // 4, axis=1).repeat(size // 4, axis=2)
    noise = random.uniform(0, 255, (count, size, size, 3))
    return np.asarray(0.8 * squares + 0.2 * noise, np.float32)


def trained_like(model: keras.Model, seed: int) -> None:
    """Sets every weight of `model` to a value as training leaves it; the same seed gives the same values.

    Kernels have a Student-t's heavy tails (5 degrees of freedom), at the scale √(3 / fan-in) in convolutions
    and √(1 / fan-in) in dense layers. Biases are N(0, 0.05). Normalisations have gamma U(0.5, 1.5) and beta
    N(0, 0.2). In an embedding each column has a scale of its own, U(0.02, 0.5). A Normalization of pixels has
    mean U(100, 150) and variance U(3000, 6000), as photographs do.

    A batch normalisation's moving mean and variance are those that `pictures` have there, moved by N(0, 0.3)
    standard deviations and multiplied by U(0.5, 2). Drawn without a look at the signal they would let it fade
    or explode within ten layers, and the network would give one answer to every image.

    Raises ValueError for a weight of any other name, and for a batch normalisation inside another layer.
    """
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if _leaf(weight) != "count":  # of the images a Normalization has seen: never used again
            weight.assign(_draw(weight, random).astype(np.float32))
    _refresh(model)
    _meet_the_data(model, seed)


def _draw(weight: Any, random: np.random.Generator) -> np.ndarray:
    shape, name = tuple(weight.shape), _leaf(weight)
    if name == "kernel":
        tails = random.standard_t(5, shape) / np.sqrt(5 / 3)
        gain = _CONVOLUTION_GAIN if len(shape) == 4 else _DENSE_GAIN
        return np.asarray(tails * np.sqrt(gain / _fan_in(shape, weight.path)))
    if name == "bias":
        return random.normal(0, 0.05, shape)
    if name == "gamma":
        return random.uniform(0.5, 1.5, shape)
    if name == "beta":
        return random.normal(0, 0.2, shape)
    if name == "moving_mean":
        return random.normal(0, 0.3, shape)
    if name == "moving_variance":
        return random.uniform(0.5, 2, shape)
    if name == "mean":
        return random.uniform(100, 150, shape)
    if name == "variance":
        return random.uniform(3000, 6000, shape)
    if name == "embeddings":
        return random.normal(0, random.uniform(0.02, 0.5, shape[-1]), shape)
    raise ValueError(f"trained_like knows no values for the weight {weight.path} of shape {shape}.")


def _fan_in(shape: tuple[int, ...], path: str) -> int:
    """How many inputs one output of a kernel sums up."""
    if len(shape) == 4 and shape[-1] == 1:
        return shape[0] * shape[1]  # depthwise: [rows, columns, channels, 1]
    if len(shape) == 3 and "attention_output" not in path:
        return shape[0]  # query, key, value: [channels, heads, key_dim]
    return int(np.prod(shape[:-1]))


def _meet_the_data(model: keras.Model, seed: int) -> None:
    """Reads the moving mean and variance as drawn as departures from those of real activations."""
    normalisations = [layer for layer in model.layers if hasattr(layer, "moving_variance")]
    if len(normalisations) != sum(_leaf(weight) == "moving_variance" for weight in model.weights):
        raise ValueError(f"{model.name} has a batch normalisation inside another layer.")
    if not normalisations:
        return
    drawn = [(layer.moving_mean.numpy(), layer.moving_variance.numpy()) for layer in normalisations]
    momenta = [layer.momentum for layer in normalisations]
    for variable in model.variables:
        if _leaf(variable) == "seed_generator_state":
            variable.assign((seed, 0))  # dropout has its share in the figures
    for layer in normalisations:
        layer.momentum = 0.0
    model(pictures(_PROBES, model.input_shape[1], seed), training=True)
    for layer, momentum, (offset, factor) in zip(normalisations, momenta, drawn, strict=True):
        layer.momentum = momentum
        deviation = np.sqrt(layer.moving_variance.numpy())
        layer.moving_mean.assign(layer.moving_mean.numpy() + offset * deviation)
        layer.moving_variance.assign(layer.moving_variance.numpy() * factor)


def transplant(source: keras.Model, target: keras.Model) -> None:
    """Copies all weights of `source` into `target`, one after the other in the order of `model.weights`.

    Shapes may differ by joined or split neighbouring axes and by axes of size 1 (the attention kernel
    [C, heads, d] and a dense one [C, heads * d]; a 1 × 1 convolution and a dense layer), never otherwise.
    States of random generators are no weights and stay as they are.

    One layer of the target may stand for three of the source: where it is named `qkv`, its kernel [C, 3 * C]
    takes the columns of query, key and value side by side, each heads-major, and its bias [3 * C] likewise.

    Raises AssertionError, with both paths and shapes, at the first pair that does not fit or where one model
    has weights left over; nothing is copied then. A gamma does not fit a beta, nor a query a key, where both
    sides have these names.
    """
    given, wanted = deque(source.weights), deque(target.weights)
    values: list[tuple[Any, np.ndarray]] = []
    while wanted:
        weight = wanted.popleft()
        if _parent(weight) == "qkv":
            values += _fused(given, weight, wanted)
        else:
            values.append((weight, _fitted(given, weight)))
    assert not given, f"{_text(given[0])} and {len(given) - 1} more have no place in {target.name}."
    for weight, value in values:
        weight.assign(value)
    _refresh(target)


def _refresh(model: keras.Model) -> None:
    """Lets Normalization take up its new mean and variance, of which it computes with copies."""
    for layer in model.layers:
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def _fused(given: deque[Any], kernel: Any, wanted: deque[Any]) -> list[tuple[Any, np.ndarray]]:
    assert wanted, f"{_text(kernel)} has no bias behind it."
    bias = wanted.popleft()
    assert _parent(bias) == "qkv", f"{_text(kernel)} has {_text(bias)} behind it, not its bias."
    assert len(given) >= 6, f"{_text(kernel)} needs three kernels and biases, but only {len(given)} are left."
    parts = [given.popleft() for _ in range(6)]
    described = ", ".join(_text(part) for part in parts)
    names = [(_parent(part), _leaf(part)) for part in parts]
    expected = [(layer, leaf) for layer in ("query", "key", "value") for leaf in ("kernel", "bias")]
    assert names == expected, f"{_text(kernel)} cannot be made of {described}."
    channels = parts[0].shape[0]
    joined_kernel = np.concatenate([_array(part).reshape(channels, -1) for part in parts[0::2]], axis=1)
    joined_bias = np.concatenate([_array(part).reshape(-1) for part in parts[1::2]])
    result = []
    for weight, value in ((kernel, joined_kernel), (bias, joined_bias)):
        assert _regrouped(value.shape, weight.shape), f"{_text(weight)} cannot be made of {described}."
        result.append((weight, value.reshape(weight.shape)))
    return result


def _fitted(given: deque[Any], weight: Any) -> np.ndarray:
    assert given, f"nothing is left for {_text(weight)}."
    part = given.popleft()
    pair = f"{_text(part)} does not fit {_text(weight)}"
    assert _regrouped(part.shape, weight.shape), f"{pair}: the shapes differ."
    for roles in (
        ("gamma", "beta", "moving_mean", "moving_variance", "bias"),
        ("query", "key", "value"),
    ):
        ours = {_leaf(part), _parent(part)} & set(roles)
        theirs = {_leaf(weight), _parent(weight)} & set(roles)
        assert not (ours and theirs) or ours == theirs, f"{pair}: they are not the same part of a layer."
    return _array(part).reshape(weight.shape)


def _regrouped(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether each shape comes from the other by joining or splitting neighbouring axes."""
    a, b = (deque(size for size in shape if size != 1) for shape in (first, second))
    while a and b:
        joined = [a.popleft(), b.popleft()]
        taken = [1, 1]
        while joined[0] != joined[1]:
            short = 0 if joined[0] < joined[1] else 1
            rest = (a, b)[short]
            if not rest:
                return False
            joined[short] *= rest.popleft()
            taken[short] += 1
        if min(taken) > 1:
            return False
    return not a and not b


def _array(weight: Any) -> np.ndarray:
    return np.asarray(weight.numpy())


def _leaf(weight: Any) -> str:
    return str(weight.path).rsplit("/", 1)[-1]


def _parent(weight: Any) -> str:
    return str(weight.path).split("/")[-2] if "/" in weight.path else ""


def _text(weight: Any) -> str:
    return f"{weight.path} {tuple(weight.shape)}"
