"""A trained model on disk: a folder with a card (what it is) and its weights (safetensors, no pickle).

    card.json                   model, labels, image, data set, recipe, versions, results, digest of the weights
    weights-DIGEST.safetensors  every weight under its path, float32

The weights' file carries the start of its digest in its name, so that a card and the weights it names are replaced
together by renaming the card: a stop at any moment leaves the old pair or the new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitconv.errors import CheckpointError, InputError
from vitconv.files import atomic_write, sha256, write_json
from vitconv.images import ImageSpec
from vitconv.models import catalogue

if TYPE_CHECKING:
    import keras

CARD = "card.json"
_CARD_KEYS = {
    "model", "labels", "image", "dataset", "recipe", "seed", "versions", "results", "weights",
}  # fmt: skip


@dataclass(frozen=True)
class Card:
    """What a checkpoint is. `dataset` and `results` hold what training recorded; see training.train."""

    model: str
    labels: tuple[str, ...]
    image: ImageSpec
    dataset: Mapping[str, Any]
    recipe: Mapping[str, Any]
    seed: int
    versions: Mapping[str, str]
    results: Mapping[str, Any]
    weights: Mapping[str, str] = field(default_factory=dict)  # file, sha256

    def to_json(self) -> dict[str, Any]:
        """As written to card.json."""
        own = {name: getattr(self, name) for name in sorted(_CARD_KEYS)}
        return {**own, "labels": list(self.labels), "image": self.image.to_json()}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder that has been opened: its card is valid and its weights are whole."""

    path: Path
    card: Card

    @property
    def weights(self) -> Path:
        """The file that holds the weights."""
        return self.path / self.card.weights["file"]

    def load(self) -> keras.Model:
        """The network of the card with the folder's weights."""
        entry = catalogue.find(self.card.model)
        model = entry.build(self.card.image, len(self.card.labels))
        assign(model.weights, read_tensors(self.weights), self.weights)
        return model


def save(path: Path, model: keras.Model, card: Card) -> Checkpoint:
    """Writes the model's weights and the card that names them; an older pair in the folder is replaced."""
    path.mkdir(parents=True, exist_ok=True)
    unnamed = path / "weights.safetensors"
    write_tensors(unnamed, tensors(model.weights))
    digest = sha256(unnamed)
    file = f"weights-{digest[:12]}.safetensors"
    unnamed.replace(path / file)
    card = replace(card, weights={"file": file, "sha256": digest})
    write_json(path / CARD, card.to_json())
    for older in path.glob("weights-*.safetensors"):
        if older.name != file:
            older.unlink()
    return Checkpoint(path, card)


def open_checkpoint(path: Path) -> Checkpoint:
    """Reads and checks a checkpoint folder. Raises CheckpointError that says what is missing or broken."""
    if not path.is_dir():
        raise CheckpointError(f"there is no checkpoint folder {path}. `vitconv train` makes one.")
    card = _read_card(path)
    checkpoint = Checkpoint(path, card)
    if not checkpoint.weights.is_file():
        raise CheckpointError(
            f"the checkpoint {path} has no {checkpoint.weights.name}. Copy the whole folder, or train again."
        )
    if sha256(checkpoint.weights) != card.weights["sha256"]:
        raise CheckpointError(
            f"{checkpoint.weights} is not the file its card describes (another SHA-256): it is corrupt or from "
            "another training. Copy the whole folder again, or train again."
        )
    return checkpoint


def _read_card(path: Path) -> Card:
    file = path / CARD
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is not a checkpoint: it has no {CARD}.") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {file}: {error}.") from error
    if not isinstance(value, dict) or set(value) != _CARD_KEYS:
        raise CheckpointError(f"{file} must be a JSON object with the keys {', '.join(sorted(_CARD_KEYS))}.")
    labels, weights = value["labels"], value["weights"]
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        raise CheckpointError(f"{file}: labels must be a list of names.")
    if (
        not isinstance(weights, dict)
        or set(weights) != {"file", "sha256"}
        or Path(str(weights["file"])).name != weights["file"]
    ):
        raise CheckpointError(f"{file}: weights must name a file of this folder and its sha256.")
    try:
        entry = catalogue.find(str(value["model"]))
        image = ImageSpec.from_json(value["image"])
        if image.height % entry.sizes_divide_by or image.width % entry.sizes_divide_by:
            raise InputError(f"{entry.name} cannot take {image.height}×{image.width} pixels.")
    except InputError as error:
        raise CheckpointError(f"{file}: {error}") from error
    return Card(**{**value, "labels": tuple(labels), "image": image})


def tensors(variables: list[Any]) -> dict[str, np.ndarray]:
    """Variables → arrays under their paths."""
    return {variable.path: np.asarray(variable) for variable in variables}


def write_tensors(path: Path, values: Mapping[str, np.ndarray]) -> None:
    """Writes arrays to a safetensors file atomically."""
    from safetensors.numpy import save

    with atomic_write(path) as temporary:
        temporary.write_bytes(save({name: np.ascontiguousarray(value) for name, value in values.items()}))


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Reads a safetensors file. Raises CheckpointError where it is missing or not whole."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}.") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}.") from error


def assign(variables: list[Any], values: Mapping[str, np.ndarray], source: Path) -> None:
    """Puts arrays into the variables of the same paths.

    Raises CheckpointError that lists what is missing, left over, or of another shape, before anything is changed.
    """
    wanted = {variable.path: variable for variable in variables}
    problems = [f"missing: {name}" for name in wanted if name not in values]
    problems += [f"not in the model: {name}" for name in values if name not in wanted]
    problems += [
        f"{name}: shape {values[name].shape}, not {tuple(variable.shape)}"
        for name, variable in wanted.items()
        if name in values and tuple(variable.shape) != values[name].shape
    ]
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise CheckpointError(f"the weights in {source} do not fit: {'; '.join(problems[:5])}{more}.")
    for name, variable in wanted.items():
        variable.assign(values[name])
