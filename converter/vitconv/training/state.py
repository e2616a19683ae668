"""All that a stopped training needs to go on as if it had never stopped, in one file.

One file, so that a kill at any moment leaves the old state or the new one: a safetensors file of every variable,
with the history and what was trained in its header, and a digest over both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from vitconv.checkpoints import checkpoint
from vitconv.foundation import documents
from vitconv.foundation.errors import CheckpointError, InputError
from vitconv.foundation.files import write_bytes

if TYPE_CHECKING:
    import keras


class StateDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file's header says beside the arrays."""

    identity: dict[str, Any]
    history: list[dict[str, int | float]]  # an epoch's number is whole


@dataclass(frozen=True)
class TrainingState:
    """A training after its last whole epoch.

    `identity` is all that must be the same when it goes on (a JSON object), `history` each epoch's figures.
    `arrays` are the values of the model's variables, its random states and the optimizer's variables, under their
    places in that order: their own names differ between processes.
    """

    identity: Mapping[str, Any]
    history: list[dict[str, float]]
    arrays: Mapping[str, np.ndarray]

    @classmethod
    def of(
        cls,
        model: keras.Model,
        identity: Mapping[str, Any],
        history: list[dict[str, float]],
        more: Sequence[Any] = (),
    ) -> TrainingState:
        """The state of a compiled model whose optimizer is built, and of `more` variables."""
        variables = [*_variables(model), *more]
        arrays = {f"{index:04}": np.asarray(variable.numpy()) for index, variable in enumerate(variables)}
        return cls(identity, history, arrays)

    @classmethod
    def read(cls, path: Path) -> TrainingState | None:
        """None where there is no file. Raises CheckpointError for one that is not as it was written."""
        if not path.exists():
            return None
        arrays, notes = checkpoint.read_tensors(path)
        text = notes.get("state", "")
        if notes.get("sha256") != _digest(text, arrays):
            raise CheckpointError(f"cannot resume from {path}: it is corrupt. Train anew into another folder.")
        try:
            document = documents.convert(documents.parse(text.encode()), StateDocument)
        except InputError as error:
            raise CheckpointError(f"cannot resume from {path}: {error} Train anew into another folder.") from None
        return cls(document.identity, [{**row} for row in document.history], arrays)

    def write(self, path: Path) -> None:
        """Writes the file atomically. Raises OutputError."""
        write_bytes(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """The file's contents."""
        text = json.dumps({"identity": self.identity, "history": self.history})
        notes = {"state": text, "sha256": _digest(text, self.arrays)}
        return checkpoint.to_safetensors(self.arrays, notes)

    def check(self, identity: Mapping[str, Any]) -> None:
        """Raises InputError that lists the differences, where another training is to go on from this state."""
        if changes := differences(self.identity, identity, "was", "now"):
            raise InputError(
                f"cannot resume this training: {'; '.join(changes)}. Give the same as before, or another --out."
            )

    def restore(self, model: keras.Model, more: Sequence[Any] = ()) -> None:
        """Puts the values into a model that was made in the same way. Raises CheckpointError where it was not."""
        variables = [*_variables(model), *more]
        arrays = [self.arrays[name] for name in sorted(self.arrays)]
        if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
            raise CheckpointError(
                "cannot resume this training: the model has other variables in this version. Train anew into "
                "another folder."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)


def _variables(model: keras.Model) -> list[Any]:
    random_states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    return [*model.weights, *random_states, *model.optimizer.variables]


def _digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def differences(first: Mapping[str, Any], second: Mapping[str, Any], verb: str, other: str) -> list[str]:
    """Where two identities differ: "seed was 0, now 1" with the verbs "was" and "now"."""
    before, now = _flat(first), _flat(second)
    names = [name for name in now if before.get(name) != now[name]]
    return [f"{name} {verb} {before.get(name)}, {other} {now[name]}" for name in names]


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    """{"seed": 0, "recipe": {"batch_size": 64}} → {"seed": 0, "recipe batch_size": 64}"""
    pairs: dict[str, Any] = {}
    for name, value in identity.items():
        if isinstance(value, dict):
            pairs.update({f"{name} {key}": one for key, one in value.items()})
        else:
            pairs[name] = value
    return pairs
