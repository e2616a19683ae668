"""timm's names and layouts of the weights of MobileViT and RepViT (pytorch-image-models, mobilevit_xxs, _xs and
_s, mobilevitv2_050, repvit_m0_9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

_NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_PARTS = ("query", "key", "value")  # which timm keeps as one tensor, "qkv", in this order
# Of MobileViTv2, whose dense layers timm writes as convolutions of 1×1.
_PROJECTIONS = ("qkv_proj", "out_proj")
_DENSE = (*_PROJECTIONS, "mlp.fc1", "mlp.fc2")

# The first tensor of these networks, in every file of theirs, perhaps behind a prefix.
_REPVIT_STEM = "stem.conv1.c.weight"
_STEMS = ("stem.conv.weight", _REPVIT_STEM)


def prefixes(names: Iterable[str]) -> tuple[str, ...]:
    """What stands before timm's own names, such as "module." or "model_ema.", that of averaged weights first, as
    they are what is evaluated; ("",) where nothing does, () where these are no weights of these networks."""
    found = {
        name.removesuffix(stem) for name in names for stem in _STEMS if name == stem or name.endswith(f".{stem}")
    }
    return tuple(sorted(found, key=lambda prefix: ("ema" not in prefix.lower(), prefix)))


def family(names: Iterable[str]) -> str:
    """Whose weights tensors of these names are: "MobileViT", "MobileViTv2" or "RepViT"."""
    found = tuple(names)
    if any(name.endswith(_REPVIT_STEM) for name in found):
        return "RepViT"
    second = any(name.endswith(".attn.qkv_proj.weight") for name in found)
    return "MobileViTv2" if second else "MobileViT"


def without_prefix(tensors: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """One set of weights of those in a file, under timm's own names; the same where no prefix is known."""
    found = prefixes(tensors)
    if not found or found == ("",):
        return tensors
    known = found[0]
    others = tuple(prefix for prefix in found[1:] if prefix.startswith(known)) if known == "" else ()
    return {
        name.removeprefix(known): value
        for name, value in tensors.items()
        if name.startswith(known) and not (others and name.startswith(others))
    }


def source(path: str) -> tuple[str, int | None]:
    """Where timm keeps the weight that is `path` in our networks: its tensor's name, and which third of it.

    "stem.conv/kernel" → ("stem.conv.weight", None); "….attn/key_bias" → ("….attn.qkv.bias", 1);
    "head/head.bn/gamma", of a layer inside another, → ("head.head.bn.weight", None).
    """
    layer, _, name = path.rpartition("/")
    layer = layer.replace("/", ".")
    if layer.endswith(".attn"):
        part, _, kind = name.rpartition("_")
        if not part:  # of the normalisation that the layer begins with
            return f"{layer.removesuffix('attn')}norm1.{_NAMES[kind]}", None
        if part in _PROJECTIONS:
            return f"{layer}.{part}.{_NAMES[kind]}", None
        if part in _PARTS:
            return f"{layer}.qkv.{_NAMES[kind]}", _PARTS.index(part)
        return f"{layer}.proj.{_NAMES[kind]}", None
    return f"{layer}.{_NAMES[name]}", None


def to_keras(tensors: Mapping[str, np.ndarray], paths: Iterable[str]) -> dict[str, np.ndarray]:
    """The tensors under the paths and in the layouts of our networks, float32.

    What no path asks for keeps its own name, so that it is seen, except PyTorch's counters of batches; a path
    whose tensor is missing is left out.
    """
    values: dict[str, np.ndarray] = {}
    used = set()
    for path in paths:
        name, third = source(path)
        if name not in tensors:
            continue
        used.add(name)
        value = tensors[name]
        if third is not None and len(value) % 3 == 0:
            value = np.split(value, 3)[third]
        if value.ndim == 4 and name.removesuffix(".weight").endswith(_DENSE):
            value = value[:, :, 0, 0]
        values[path] = _layout(value).astype(np.float32)
    left = {name: value for name, value in tensors.items() if name not in used}
    return {**values, **{n: value for n, value in left.items() if not n.endswith(".num_batches_tracked")}}


def _layout(value: np.ndarray) -> np.ndarray:
    """PyTorch's layout of a kernel → Keras's."""
    if value.ndim == 4 and value.shape[1] == 1:
        return value.transpose(2, 3, 0, 1)  # depthwise: [C, 1, rows, columns] -> [rows, columns, C, 1]
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)  # [out, in, rows, columns] -> [rows, columns, in, out]
    return value.T
