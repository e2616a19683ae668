"""A trained model on disk: a folder with a card (what it is) and its weights (safetensors, no pickle).

    card.json                   model, labels, image, data set, recipe, versions, results, digest of the weights
    weights-DIGEST.safetensors  every weight under its path, float32

The weights' file carries the start of its digest in its name, so that a card and the weights it names are replaced
together by renaming the card: a stop at any moment leaves the old pair or the new one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from vitconv.checkpoints import pretrained
from vitconv.checkpoints.liveness import Liveness
from vitconv.data.pictures.images import ImageDocument, ImageSpec
from vitconv.data.pictures.pixels import Pixels
from vitconv.foundation import documents
from vitconv.foundation.disk.file_names import FileName
from vitconv.foundation.disk.files import sha256, write_bytes, write_json
from vitconv.foundation.documents import Sha256
from vitconv.foundation.errors import CheckpointError
from vitconv.models import catalogue

if TYPE_CHECKING:
    import keras

CARD = "card.json"
HISTORY = "history.csv"  # of the training that made it, where it is there
WEIGHTS = "weights-*.safetensors"


@dataclass(frozen=True)
class Card:
    """What a checkpoint is.

    `dataset` has the texts name, source (what opens it again) and version, and the splits; `results` the epoch
    and its validation figures. `weights` is {"file": name, "sha256": hex}, set when the checkpoint is saved.
    `init` tells of the weights that the training began with, where they were not random; `teacher` of the
    classifier that it learnt from beside the labels, where there was one. `pixels` are the training
    images' statistics, see `data.pixels.Pixels`; `liveness` is which layers take part in the answers. Both are
    None in a card of an earlier version.
    """

    model: str
    labels: tuple[str, ...]
    image: ImageSpec
    dataset: Mapping[str, Any]
    recipe: Mapping[str, Any]
    seed: int
    versions: Mapping[str, str]
    results: Mapping[str, Any]
    weights: Mapping[str, str] = field(default_factory=dict)
    init: Mapping[str, Any] | None = None
    teacher: Mapping[str, Any] | None = None
    pixels: Mapping[str, Any] | None = None
    liveness: Liveness | None = None

    def to_json(self) -> dict[str, Any]:
        """As written to card.json."""
        later = ("init", "teacher", "pixels", "liveness")
        own = {name: value for name, value in sorted(vars(self).items()) if name not in later}
        if self.init is not None:
            own["init"] = dict(self.init)
        if self.teacher is not None:
            own["teacher"] = dict(self.teacher)
        if self.pixels is not None:
            own["pixels"] = dict(self.pixels)
        if self.liveness is not None:
            own["liveness"] = self.liveness.to_json()
        return {**own, "labels": list(self.labels), "image": self.image.to_json()}

    def trained(self) -> dict[str, Any]:
        """What `vitconv models` says of the trained weights: top-1 accuracy on held-out images, with the interval
        that holds the true one in 95 % of cases, where it was measured."""
        measured = self.results.get("evaluation", {})
        return {
            "dataset": self.dataset["name"],
            "image": self.image.to_json(),
            "split": measured.get("split"),
            "images": measured.get("images"),
            "top1": measured.get("top1", self.results.get("val_accuracy")),
            "top1_interval": measured.get("top1_interval"),
            "chose_epoch": self.chose_epoch(measured) if measured else None,
            "sha256": self.weights["sha256"],
        }

    def chose_epoch(self, evaluation: Mapping[str, Any]) -> bool:
        """Whether the epoch was chosen on the images that an evaluation among the results is of."""
        if "chose_epoch" in evaluation:
            return bool(evaluation["chose_epoch"])
        # Of an earlier version, which kept the images' digest.
        splits = self.dataset.get("splits")
        validation = splits.get("validation") if isinstance(splits, Mapping) else None
        return isinstance(validation, Mapping) and validation.get("digest") == evaluation.get("digest")

    def summary(self) -> dict[str, Any]:
        """What the card of a training that begins with these weights says of them."""
        kept = ("image", "recipe", "seed", "results", "weights", "init", "teacher")
        return {name: value for name, value in self.to_json().items() if name in kept}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder that has been opened: its card is valid and its weights are whole."""

    path: Path
    card: Card

    @property
    def name(self) -> str:
        """What `open_checkpoint` finds it by again: its name where it comes with the package, else its path."""
        return self.path.name if self.path.parent == pretrained.FOLDER else str(self.path)

    @property
    def model(self) -> str:
        """The network's name in the catalogue."""
        return self.card.model

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names, in the order of the outputs."""
        return self.card.labels

    @property
    def image(self) -> ImageSpec:
        """What the network takes."""
        return self.card.image

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the weights."""
        return str(self.card.weights["sha256"])

    @property
    def weights(self) -> Path:
        """The file that holds the weights."""
        return self.path / self.card.weights["file"]

    def load(self) -> keras.Model:
        """The network of the card with the folder's weights. Raises CheckpointError where they do not fit it."""
        values, _ = read_tensors(self.weights)
        model = catalogue.find(self.card.model).build(self.card.image, len(self.card.labels))
        assign(model.weights, values, self.weights)
        for layer in model.layers:
            # Keras's Normalization computes with constants that it made of its weights when it was built.
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()
        return model


def save(path: Path, model: keras.Model, card: Card) -> Checkpoint:
    """Writes the model's weights and the card that names them; an older pair in the folder is replaced.

    Raises OutputError where the folder cannot be written; the older pair is then left as it was.
    """
    data = to_safetensors({variable.path: variable.numpy() for variable in model.weights})
    digest = hashlib.sha256(data).hexdigest()
    card = replace(card, weights={"file": _weights_name(digest), "sha256": digest})
    checkpoint = Checkpoint(path, card)
    write_bytes(checkpoint.weights, data)
    write_json(path / CARD, card.to_json())
    for older in path.glob(WEIGHTS):
        if older != checkpoint.weights:
            older.unlink(missing_ok=True)
    return checkpoint


def open_checkpoint(path: Path | str) -> Checkpoint:
    """Reads and checks a checkpoint folder; a plain name of `pretrained.names` is the one that comes with vitconv.

    Raises CheckpointError that says what is missing or broken.
    """
    if not isinstance(path, (str, Path)) or path == "":
        raise CheckpointError(f"a checkpoint is a folder's path or a name, not {path!r}.")
    path = Path(path)
    trained = pretrained.folder(str(path))
    if trained is not None:
        if (path / CARD).exists():
            raise CheckpointError(
                f"{path} means two things: a checkpoint folder here, and a model with trained weights that comes "
                f"with vitconv. Give the folder's full path ({path.resolve()}), or rename it."
            )
        path = trained
    if not path.is_dir():
        known = pretrained.names()
        more = f" Or give the name of a model with trained weights: {', '.join(known)}." if known else ""
        if path.suffix in (".keras", ".tflite", ".h5"):
            raise CheckpointError(f"there is no file {path}. Check the path.{more}")
        raise CheckpointError(f"there is no checkpoint folder {path}. `vitconv train` makes one.{more}")
    checkpoint = Checkpoint(path, read_card(path))
    try:
        digest = sha256(checkpoint.weights)
    except OSError as error:
        raise CheckpointError(
            f"cannot read {checkpoint.weights}: {error.strerror}. Copy the whole folder, or train again."
        ) from error
    if digest != checkpoint.card.weights["sha256"]:
        raise CheckpointError(
            f"the SHA-256 of {checkpoint.weights} is not the one in its card: the file is corrupt or from another "
            "training. Copy the whole folder again, or train again."
        )
    return checkpoint


def _weights_name(digest: str) -> str:
    return f"weights-{digest[:12]}.safetensors"


def read_card(folder: Path) -> Card:
    """The card of a checkpoint folder, without a look at its weights. Raises CheckpointError."""
    remedy = "Copy the whole folder again, or train again."
    try:
        return documents.read(folder / CARD, card_from_json, "card", remedy, CheckpointError)
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{folder} is not a checkpoint: it has no {CARD}.") from None


def card_from_json(value: Any) -> Card:
    """Raises InputError for anything but what `Card.to_json` gives."""
    checked = documents.convert(value, _CardDocument)
    image = checked.image.spec
    catalogue.find(checked.model).check(image)
    liveness = None if checked.liveness is msgspec.UNSET else checked.liveness
    return Card(**{**value, "labels": checked.labels, "image": image, "liveness": liveness})


_Text = Annotated[str, msgspec.Meta(min_length=1)]


class _DataSet(msgspec.Struct, frozen=True):
    name: _Text
    source: _Text
    version: str | None = None


_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Evaluation(msgspec.Struct, frozen=True):
    """An `answers.Evaluation`; earlier versions kept no `chose_epoch`."""

    split: _Text
    digest: Sha256
    images: Annotated[int, msgspec.Meta(ge=1)]
    top1: _Share
    top1_interval: tuple[_Share, _Share]
    top5: _Share
    chose_epoch: bool = False


class _Results(msgspec.Struct, frozen=True):
    val_accuracy: _Share = 0.0
    evaluation: _Evaluation | msgspec.UnsetType = msgspec.UNSET


class _Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    file: FileName
    sha256: Sha256

    def __post_init__(self) -> None:
        if self.file != _weights_name(self.sha256):
            raise ValueError(f"`file` must be {_weights_name(self.sha256)!r}, not {self.file!r}")


class _CardDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """card.json. What recipe, results, init and teacher hold beyond what is named here is kept as it is."""

    model: _Text
    labels: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=2)]
    image: ImageDocument
    dataset: _DataSet
    recipe: dict[str, Any]
    seed: int
    versions: dict[str, Any]
    results: _Results
    weights: _Weights
    init: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    teacher: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    pixels: Pixels | msgspec.UnsetType = msgspec.UNSET
    liveness: Liveness | msgspec.UnsetType = msgspec.UNSET


def to_safetensors(values: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> bytes:
    """Arrays (or variables) by name as one safetensors file, with `notes` in its header."""
    from safetensors.numpy import save

    # In C order: safetensors takes the memory as it lies. (ascontiguousarray would make a scalar an array of one.)
    data: bytes = save(
        {name: np.asarray(value, order="C") for name, value in values.items()}, dict(notes) if notes else None
    )
    return data


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and notes of a safetensors file. Raises CheckpointError where it is missing or not whole."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}.") from None
    except (OSError, SafetensorError, AttributeError, TypeError) as error:
        # The last two: numbers of a type that NumPy does not have.
        raise CheckpointError(
            f"cannot read {path} as a safetensors file: {error}. It may be incomplete."
        ) from error


def assign(variables: list[Any], values: Mapping[str, np.ndarray], source: Path) -> None:
    """Puts arrays into the variables of the same paths.

    Raises CheckpointError that lists what is missing, left over, or of another shape or type, before anything is
    changed.
    """
    wanted = {variable.path: variable for variable in variables}
    problems = [f"missing: {name}" for name in wanted if name not in values]
    problems += [f"not in the model: {name}" for name in values if name not in wanted]
    for name in wanted.keys() & values.keys():
        here, there = _kind(values[name]), _kind(wanted[name])
        if here != there:
            problems.append(f"{name}: {here}, not {there}")
    if problems:
        problems.sort()
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise CheckpointError(f"the weights in {source} do not fit: {'; '.join(problems[:5])}{more}.")
    for name, variable in wanted.items():
        variable.assign(values[name])


def _kind(value: Any) -> str:
    return f"{value.dtype} {list(value.shape)}"
