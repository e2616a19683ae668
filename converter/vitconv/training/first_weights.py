"""The weights that a training begins with: a checkpoint's, or those of a file of timm's MobileViT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitconv.checkpoints import checkpoint as checkpoints
from vitconv.checkpoints import pretrained
from vitconv.foundation.errors import CheckpointError
from vitconv.foundation.files import sha256
from vitconv.training import timm_weights

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class FirstWeights:
    """A safetensors file of weights. `digest` is its SHA-256 (hex), `note` what the card of a training that begins
    with it says of it."""

    path: Path
    digest: str
    note: Mapping[str, Any]
    from_timm: bool

    @classmethod
    def open(cls, path: Path) -> FirstWeights:
        """`path`: a checkpoint's folder or name, or a safetensors file that timm wrote. Raises CheckpointError."""
        if path.is_dir() or pretrained.folder(str(path)):
            checkpoint = checkpoints.open_checkpoint(path)
            card = checkpoint.card
            return cls(checkpoint.weights, card.weights["sha256"], card.summary(), from_timm=False)
        if not path.exists():
            raise CheckpointError(f"there is no {path}. Give a checkpoint folder or a .safetensors file.")
        checkpoints.read_tensors(path)
        digest = sha256(path)
        return cls(path, digest, {"file": path.name, "sha256": digest}, from_timm=True)

    def put_into(self, model: keras.Model) -> None:
        """Gives the network these weights. Its last layer keeps its own where it has another number of classes.

        Raises CheckpointError that lists what is missing, left over, or of another shape.
        """
        values, _ = checkpoints.read_tensors(self.path)
        if self.from_timm:
            values = timm_weights.to_keras(values, [variable.path for variable in model.weights])
        head = {variable.path: np.asarray(variable) for variable in model.layers[-1].weights}
        if any(name in values and values[name].shape[-1:] != own.shape[-1:] for name, own in head.items()):
            values.update(head)
        checkpoints.assign(model.weights, values, self.path)
