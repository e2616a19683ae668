"""The weights that a training begins with: a checkpoint's, or those of a file of timm's MobileViT or RepViT."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitconv.checkpoints import checkpoint as checkpoints
from vitconv.checkpoints import pretrained, published
from vitconv.checkpoints.published import PublishedWeights
from vitconv.foundation.disk.files import sha256
from vitconv.foundation.errors import CheckpointError
from vitconv.models import catalogue
from vitconv.training import timm_weights

if TYPE_CHECKING:
    import keras


# What our names of a family of timm's begin with.
_OURS = {"MobileViT": "mobilevit_paper_", "MobileViTv2": "mobilevitv2_", "RepViT": "repvit_"}

logger = logging.getLogger("vitconv")


@dataclass(frozen=True)
class FirstWeights:
    """A file of weights: safetensors, or what Keras saved of a published example. `digest` is its SHA-256 (hex),
    `note` what the card of a training that begins with it says of it."""

    path: Path
    digest: str
    note: Mapping[str, Any]
    from_timm: bool
    published: PublishedWeights | None = None

    @classmethod
    def open(cls, path: Path, model: str) -> FirstWeights:
        """`path`: a checkpoint's folder or name, a safetensors file that timm wrote, or a .weights.h5 or .keras
        file of a published example; `model` is the name of the network that they are for. Raises
        CheckpointError."""
        if path.is_dir() or pretrained.folder(str(path)):
            checkpoint = checkpoints.open_checkpoint(path)
            card = checkpoint.card
            _check_numbers(checkpoint.weights, checkpoints.read_tensors(checkpoint.weights)[0])
            return cls(checkpoint.weights, card.weights["sha256"], card.summary(), from_timm=False)
        if path.name.endswith((published.SUFFIX, ".keras")):
            return cls._of_published(path, model)
        if not path.exists():
            raise CheckpointError(f"there is no {path}. Give a checkpoint folder or a .safetensors file.")
        tensors, _ = checkpoints.read_tensors(path)
        found = timm_weights.prefixes(tensors)
        if not found:
            raise CheckpointError(
                f"{path} has no weights of timm's MobileViT or RepViT in it, but {_holds(tensors)}. Give such a "
                "file (mobilevit_xxs, _xs, _s, mobilevitv2_050 or repvit_m0_9), or a checkpoint folder."
            )
        family = timm_weights.family(tensors)
        if not model.startswith(_OURS[family]):
            known = [name for name in catalogue.CATALOGUE if name.startswith(_OURS[family])]
            raise CheckpointError(
                f"{path} has weights of timm's {family}, the paper's network, which is called "
                f"{', '.join(known)} here; {model} is another one. Train one of those."
            )
        if len(found) > 1:
            shown = ", ".join(repr(prefix) for prefix in found)
            logger.warning(f"{path} has several sets of weights ({shown}): those of {found[0]!r} are taken.")
        _check_numbers(path, timm_weights.without_prefix(tensors))
        digest = sha256(path)
        note = {"file": path.name, "sha256": digest, **({"prefix": found[0]} if found != ("",) else {})}
        return cls(path, digest, note, from_timm=True)

    @classmethod
    def _of_published(cls, path: Path, model: str) -> FirstWeights:
        found = published.read(path)
        if found.network != model:
            raise CheckpointError(
                f"{path} has weights of the structure of {found.network}, and {model} is another network. Train "
                f"{found.network}."
            )
        digest = sha256(path)
        return cls(path, digest, {"file": path.name, "sha256": digest}, from_timm=False, published=found)

    def put_into(self, model: keras.Model) -> None:
        """Gives the network these weights. Its last layer keeps its own where it has another number of classes.

        Raises CheckpointError that lists what is missing, left over, or of another shape.
        """
        if self.published is not None:
            values = self.published.values(model)
        else:
            values, _ = checkpoints.read_tensors(self.path)
        if self.from_timm:
            values = self._of_timm(values, [variable.path for variable in model.weights])
        head = {variable.path: np.asarray(variable) for variable in model.layers[-1].weights}
        if any(name in values and values[name].shape[-1:] != own.shape[-1:] for name, own in head.items()):
            values.update(head)
        checkpoints.assign(model.weights, values, self.path)

    def _of_timm(self, tensors: Mapping[str, np.ndarray], paths: list[str]) -> dict[str, np.ndarray]:
        own = timm_weights.without_prefix(tensors)
        missing = sorted({name for path in paths if (name := timm_weights.source(path)[0]) not in own})
        if 2 * len(missing) > len(paths):
            raise CheckpointError(
                f"the weights in {self.path} do not fit: {len(missing)} that the network has are missing, such as "
                f"{', '.join(missing[:3])}; the file holds {_holds(own)}. Give the file of the network of the "
                "same size."
            )
        return timm_weights.to_keras(own, paths)


def _holds(tensors: Mapping[str, np.ndarray]) -> str:
    """What a user recognises a file by."""
    names = sorted(tensors)
    shown = f", such as {', '.join(names[:3])}" if names else ""
    return f"{len(names)} tensors{shown}"


def _check_numbers(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Raises CheckpointError where a weight is NaN or infinite: the training would fail after an epoch."""
    bad = [name for name, value in tensors.items() if value.dtype.kind == "f" and not np.isfinite(value).all()]
    if bad:
        raise CheckpointError(
            f"{len(bad)} of the {len(tensors)} tensors in {path} hold NaN or infinity, such as {bad[0]}. Give "
            "weights of a training that did not diverge."
        )
