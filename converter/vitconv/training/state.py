"""All that a stopped training needs to go on as if it had never stopped, in one file.

One file, so that a kill at any moment leaves the old state or the new one: a safetensors file of every variable,
with the history and what was trained in its header, and a digest over both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from vitconv.checkpoints import checkpoint
from vitconv.foundation import documents
from vitconv.foundation.disk.files import write_bytes
from vitconv.foundation.errors import CheckpointError, InputError

if TYPE_CHECKING:
    import keras


class StateDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file's header says beside the arrays."""

    identity: dict[str, Any]
    history: list[dict[str, int | float]]  # an epoch's number is whole
    parts: int = 1
    replicas: int = 1


STATE = "training.safetensors"


@dataclass(frozen=True)
class Setup:
    """What is trained, and how this machine computes it.

    `identity` is all that must be the same when it goes on (a JSON object). `parts` is into how many parts a batch
    is cut and `replicas` among how many it is shared: the random numbers of dropout, and of augmentation, depend
    on them.
    """

    identity: Mapping[str, Any]
    parts: int = 1
    replicas: int = 1


@dataclass(frozen=True)
class TrainingState:
    """A training after its last whole epoch.

    `setup` is what was trained, `history` each epoch's figures. `arrays` are the values of the model's variables,
    its random states and the optimizer's variables, under their places in that order: their own names differ
    between processes.
    """

    setup: Setup
    history: list[dict[str, float]]
    arrays: Mapping[str, np.ndarray] = field(repr=False)

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that must be the same when it goes on."""
        return self.setup.identity

    @classmethod
    def of(
        cls,
        model: keras.Model,
        setup: Setup,
        history: list[dict[str, float]],
        more: Sequence[Any] = (),
    ) -> TrainingState:
        """The state of a compiled model whose optimizer is built, and of `more` variables."""
        variables = [*_variables(model), *more]
        arrays = {f"{index:04}": np.asarray(variable.numpy()) for index, variable in enumerate(variables)}
        return cls(setup, history, arrays)

    @classmethod
    def read(cls, path: Path) -> TrainingState | None:
        """None where there is no file. Raises CheckpointError for one that is not as it was written."""
        if not path.exists():
            return None
        arrays, notes = checkpoint.read_tensors(path)
        text = notes.get("state", "")
        if notes.get("sha256") != _digest(text, arrays):
            raise CheckpointError(
                f"cannot resume from {path}: the file is corrupt. Train again into another folder."
            )
        try:
            document = documents.convert(documents.parse(text.encode()), StateDocument)
        except InputError as error:
            raise CheckpointError(f"cannot resume from {path}: {error} Train anew into another folder.") from None
        setup = Setup(document.identity, document.parts, document.replicas)
        return cls(setup, [{**row} for row in document.history], arrays)

    def write(self, path: Path) -> None:
        """Writes the file atomically. Raises OutputError."""
        write_bytes(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """The file's contents."""
        text = json.dumps({**vars(self.setup), "history": self.history})
        notes = {"state": text, "sha256": _digest(text, self.arrays)}
        return checkpoint.to_safetensors(self.arrays, notes)

    def check(self, identity: Mapping[str, Any], pictures: Sequence[str] = ()) -> None:
        """Raises InputError that lists the differences, where another training is to go on from this state.
        `pictures` says what has become of its pictures."""
        changes = differences(self.identity, identity, "was", "now")
        if any(change.startswith("recipe epochs ") for change in changes) and len(changes) == 1:
            raise InputError(
                f"cannot resume this training: {changes[0]}, and its learning rate falls along a curve over them: "
                "it would jump. Give as many epochs as before, or go on from these weights in another folder "
                "(--init, with --recipe finetune)."
            )
        if changes:
            raise InputError(
                f"cannot resume this training: {'; '.join([*changes, *pictures])}. Give the same as before, or "
                "another --out."
            )

    def restore(self, model: keras.Model, more: Sequence[Any] = ()) -> None:
        """Puts the values into a model that was made in the same way. Raises CheckpointError where it was not."""
        variables = [*_variables(model), *more]
        arrays = [self.arrays[name] for name in sorted(self.arrays)]
        if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
            raise CheckpointError(
                "cannot resume this training: the model has other variables in this version of vitconv. "
                "Train again into another folder."
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
    # What an earlier version did not know of was as it is where nobody says otherwise.
    names = [name for name in now if name in before and before[name] != now[name]]
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
