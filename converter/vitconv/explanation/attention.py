"""What the transformers of our networks look at, from the attention layers' own weights.

Self-attention by rollout (Abnar and Zuidema, 2020, "Quantifying Attention Flow in Transformers"): a layer mixes
tokens by (A + I) / 2, where A is its attention averaged over the heads and I its shortcut; the layers of a block
multiply. A token's share is then what it gives to all tokens of the block's output together, which the network
averages later.

External attention has no map from token to token. Its map says how much each token makes of each unit of the
memory (Guo et al., 2021): shown are units of the last layer, those that tell tokens apart most.

Separable attention has one score a token: its share of the context that all tokens of its place are multiplied by.
Shown is that of each block's last layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

UNITS = 3  # of external attention's memory that are shown


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """values: float64 [rows, columns] of tokens, of mean 1: how much of what comes out goes back to each token; or
    how much each token makes of a unit."""

    name: str
    values: NDArray[np.float64]


def attention_maps(network: keras.Model, picture: NDArray[np.uint8]) -> tuple[AttentionMap, ...]:
    """Of each block of a network of ours, in its order; none of a network without our attention layers. picture:
    uint8 [H, W, 3] as it takes it."""
    import keras

    from vitconv.models.layers.attention import NormedExternalAttention
    from vitconv.models.layers.separable_attention import SeparableAttention
    from vitconv.models.layers.transformer_layer import Attention

    found = [layer for layer in network.layers if isinstance(layer, Attention)]
    if not found:
        return ()
    tokens = keras.Model(network.input, [layer.input for layer in found])
    given = tokens(picture[np.newaxis].astype(np.float32), training=False)
    given = given if isinstance(given, (list, tuple)) else [given]
    maps = [np.asarray(layer.attention_map(x), np.float64) for layer, x in zip(found, given, strict=True)]
    size = picture.shape[:2]
    if isinstance(found[-1], NormedExternalAttention):
        return tuple(_units(_stem(found[-1].name), maps[-1], size))
    blocks = _blocks([layer.name for layer in found], maps)
    if isinstance(found[-1], SeparableAttention):
        # [1, P, N] of sum 1 -> [P, N] of mean 1
        return tuple(
            AttentionMap(name, _placed(block[-1][0] * block[-1].shape[-1], size)) for name, block in blocks
        )
    return tuple(AttentionMap(name, _placed(rollout(block), size)) for name, block in blocks)


def rollout(layers: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Attention of a block's layers, each [B, h, N, N] with rows of sum 1 → each token's share, [B, N] of mean
    1."""
    tokens = layers[0].shape[-1]
    mixed = np.broadcast_to(np.eye(tokens), (layers[0].shape[0], tokens, tokens))
    for layer in layers:
        mixed = (layer.mean(axis=1) + np.eye(tokens)) / 2 @ mixed
    shares: NDArray[np.float64] = mixed.sum(axis=1)
    return shares


def _blocks(
    names: Sequence[str], maps: Sequence[NDArray[np.float64]]
) -> Iterator[tuple[str, list[NDArray[np.float64]]]]:
    """Layers that follow one another in the same block: "stage2.mobilevit.transformer0.attention" belongs to
    "stage2.mobilevit", and all of EANet's to the network."""
    block: list[NDArray[np.float64]] = []
    for place, (name, values) in enumerate(zip(names, maps, strict=True)):
        block.append(values)
        if place + 1 == len(names) or _block_of(names[place + 1]) != _block_of(name):
            yield _block_of(name) or "all layers", block
            block = []


def _block_of(name: str) -> str:
    """Without the layer's own number, and what stands behind it."""
    return _stem(name).rstrip("0123456789").rstrip(".").rpartition(".")[0]


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _units(name: str, weights: NDArray[np.float64], size: tuple[int, int]) -> Iterator[AttentionMap]:
    """weights: [1, N, units, h]"""
    by_unit = weights[0].mean(axis=2).T  # [units, N]
    by_unit = by_unit / by_unit.mean(axis=1, keepdims=True)
    for unit in np.argsort(-by_unit.std(axis=1), kind="stable")[:UNITS]:
        yield AttentionMap(f"{name}, memory unit {unit}", _placed(by_unit[np.newaxis, unit], size))


def _placed(shares: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """[B, N] → [rows, columns] in the picture. Where a picture has four rows, they are those of `UnfoldPatches`:
    the pixels at the same place of their 2×2 patches."""
    if len(shares) == 1:
        rows, columns = _grid(shares.shape[1], size, patch=1)
        return shares.reshape(rows, columns)
    rows, columns = _grid(shares.shape[1], size, patch=2)
    patches = shares.reshape(2, 2, rows, columns).transpose(2, 0, 3, 1)  # [dy, dx, r, c] -> [r, dy, c, dx]
    return patches.reshape(2 * rows, 2 * columns)


def _grid(tokens: int, size: tuple[int, int], patch: int) -> tuple[int, int]:
    """Rows and columns of tokens: the network halves the picture some times, and rounds up."""
    rows, columns = size
    while -(-rows // patch) * -(-columns // patch) > tokens:
        rows, columns = -(-rows // 2), -(-columns // 2)
    grid = (-(-rows // patch), -(-columns // patch))
    if grid[0] * grid[1] != tokens:
        raise ValueError(f"{tokens} tokens have no place in a picture of {size[0]}×{size[1]} pixels")
    return grid


def as_document(maps: Sequence[AttentionMap]) -> list[dict[str, Any]]:
    """As JSON has them."""
    return [{"name": one.name, "values": np.round(one.values, 4).tolist()} for one in maps]
