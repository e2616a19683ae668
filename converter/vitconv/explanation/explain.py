"""`vitconv explain` of a model: a PNG file for each picture that shows why it says what it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from vitconv.classifiers.told import Told
from vitconv.data.pictures.images import open_picture
from vitconv.explanation.reasons import Explanation, explain_pixels
from vitconv.explanation.subjects import Subject, open_subject
from vitconv.foundation.configs import check_types
from vitconv.foundation.disk.file_names import safe_name
from vitconv.foundation.disk.files import writable_directory, write_bytes
from vitconv.foundation.errors import InputError, UnknownNameError
from vitconv.foundation.progress import Progress


@dataclass(frozen=True)
class ExplainConfig:
    """`model`: a .tflite file, a checkpoint, or another tool's model; `told` is what that does not say. `out`:
    the folder that the drawings go to. `label`: the class to ask about; None: the model's first answer to each
    picture. `dataset`: one with the classes of another tool's model.
    """

    model: Path
    pictures: tuple[Path, ...]
    out: Path
    label: str | None = None
    told: Told = field(default_factory=Told)
    dataset: str | None = None

    def __post_init__(self) -> None:
        check_types(self)
        if not self.pictures:
            raise InputError("there is no picture to explain. Name at least one.")


@dataclass(frozen=True, eq=False)
class Explained:
    """A picture file, what was found, and where it is drawn."""

    path: str
    drawing: Path
    explanation: Explanation

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, "drawing": str(self.drawing), **self.explanation.to_json()}


@dataclass(frozen=True, eq=False)
class Explanations:
    model: str
    pictures: tuple[Explained, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of `vitconv explain --json`."""
        return {"model": self.model, "pictures": [one.to_json() for one in self.pictures]}


def explain(config: ExplainConfig, progress: Progress | None = None) -> Explanations:
    """Draws for each picture what the model's answer rests on, and for networks of ours what they look at.

    Raises InputError for a picture that cannot be read and for a class that the model does not have, before
    anything is written; what `open_subject` raises; OutputError.
    """
    read = {path: open_picture(path) for path in config.pictures}
    with open_subject(config.model, config.told, config.dataset) as subject:
        return explain_pictures(str(config.model), [subject], read, config.out, config.label, progress)


def explain_pictures(
    model: str,
    subjects: Sequence[Subject],
    pictures: Mapping[Path, Image.Image],
    out: Path,
    label: str | None,
    progress: Progress | None,
) -> Explanations:
    """The same by several subjects of the same classes and image, side by side. `pictures`: decoded, by their
    path."""
    labels, image = subjects[0].labels, subjects[0].image
    asked = index_of(label, labels)
    # All are prepared before the first is drawn: what is wrong with the last is said at once.
    prepared = {path: image.prepare(picture) for path, picture in pictures.items()}
    names = drawing_names(list(prepared))
    folder = writable_directory(out)
    found = []
    for name, (path, pixels) in zip(names, prepared.items(), strict=True):
        explanation = explain_pixels(subjects, pixels, asked, progress)
        write_bytes(folder / name, explanation.drawn())
        found.append(Explained(str(path), folder / name, explanation))
    return Explanations(model, tuple(found))


def index_of(label: str | None, labels: Sequence[str]) -> int | None:
    """Of a class; None where none is asked about. Raises UnknownNameError."""
    if label is None:
        return None
    if label not in labels:
        raise UnknownNameError("class", label, labels)
    return labels.index(label)


def drawing_names(pictures: Sequence[Path]) -> list[str]:
    """A name for each drawing: the picture's, with a number where two pictures are called the same."""
    seen: Counter[str] = Counter()
    names = []
    for path in pictures:
        stem = safe_name(path.stem) or "picture"
        seen[stem.casefold()] += 1
        number = seen[stem.casefold()]
        names.append(f"{stem}-why{'' if number == 1 else f'-{number}'}.png")
    return names
