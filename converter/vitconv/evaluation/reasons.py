"""Why Keras and the integer files of an export folder say what they say, side by side.

Without pictures of the user's own: of the images on which verify found that they disagree most. That is kept in
DIR/results/explanations.json, for `vitconv report`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from vitconv.conversion import schemes
from vitconv.data.pictures.images import open_picture
from vitconv.evaluation import kept_results
from vitconv.evaluation.originals import open_dataset, open_original
from vitconv.explanation.explain import Explained, Explanations, explain_pictures, index_of
from vitconv.explanation.reasons import Explanation, explain_pixels
from vitconv.explanation.subjects import Subject, file_subject, model_subject
from vitconv.exporting import manifest
from vitconv.exporting.manifest import Manifest, ModelFile
from vitconv.foundation import documents
from vitconv.foundation.configs import check_types
from vitconv.foundation.disk import files
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.foundation.progress import Progress

Probability = Annotated[float, msgspec.Meta(ge=0, le=1.01)]  # a dequantized one may be a step above 1
Drop = Annotated[float, msgspec.Meta(ge=-1.01, le=1.01)]
Row = Annotated[tuple[Drop, ...], msgspec.Meta(min_length=1, max_length=64)]


@dataclass(frozen=True)
class ExplainExportConfig:
    """`folder`: an export. `pictures`: the user's own; empty: those on which verify found that an integer file
    and Keras disagree most. `out`: the folder that the drawings go to. `label`: the class to ask about; None:
    Keras's answer to each picture. `checkpoint`, `dataset` and `code`: as verify takes them."""

    folder: Path
    pictures: tuple[Path, ...]
    out: Path
    label: str | None = None
    checkpoint: Path | None = None
    dataset: str | None = None
    code: Path | None = None

    def __post_init__(self) -> None:
        check_types(self)


class ReasonDocument(msgspec.Struct, frozen=True):
    """A `reasons.Reason`. `by`: Keras or a scheme; `sha256`: of its file, None for Keras."""

    by: str
    sha256: str | None
    probability: Probability
    drops: Annotated[tuple[Row, ...], msgspec.Meta(min_length=1, max_length=64)]
    rank_correlation: Annotated[float, msgspec.Meta(ge=-1.01, le=1.01)] | None


class PictureDocument(msgspec.Struct, frozen=True):
    """Of the image at that place in the split; the first reason is Keras's. `label`: what the reasons are for."""

    index: kept_results.Count
    label: str
    reasons: tuple[ReasonDocument, ...]


class ReasonsDocument(msgspec.Struct, frozen=True):
    """results/explanations.json."""

    checkpoint: str
    split_digest: str
    pictures: tuple[PictureDocument, ...]


def explain_export(config: ExplainExportConfig, progress: Progress | None = None) -> Explanations:
    """Draws each picture with the reasons of Keras and of every integer file.

    Raises InputError where there is no integer file, or without pictures no verification of this checkpoint, or
    where its pictures are others now; what opening the checkpoint and the files raises; OutputError.
    """
    document = manifest.read(config.folder)
    chosen = [entry for entry in document.files if schemes.find(entry.scheme).integer]
    if not chosen:
        raise InputError(f"{config.folder} has no integer file to lay beside Keras. Export int8, too.")
    read = {path: open_picture(path) for path in config.pictures}
    verification = None if read else _verification(config.folder, document)
    model = open_original(config.folder, document, config.checkpoint, config.code)
    with _opened(config.folder, chosen) as files_:
        subjects = [model_subject(model), *files_]
        if verification is None:
            return explain_pictures(str(config.folder), subjects, read, config.out, config.label, progress)
        dataset = open_dataset(document, model, config.dataset, progress=progress)
        split = dataset.split(dataset.evaluation_name, model.image, progress)
        if split.digest != verification.split_digest:
            raise InputError(
                f"{config.folder} was verified on other pictures than {dataset.name} {split.name}. Name the data "
                f"set (--dataset), or run `vitconv verify {config.folder}` again."
            )
        asked = index_of(config.label, subjects[0].labels)
        folder = files.writable_directory(config.out)
        found: list[tuple[int, Explained]] = []
        for index in _disagreeing(verification, chosen, len(split)):
            explanation = explain_pixels(subjects, split.images[index], asked, progress)
            drawing = folder / f"image-{index}-why.png"
            files.write_bytes(drawing, explanation.drawn())
            found.append((index, Explained(f"image {index}", drawing, explanation)))
    digests = [None, *(entry.sha256 for entry in chosen)]
    pictures = [_kept(index, one.explanation, digests) for index, one in found]
    kept_results.keep_explanations(
        config.folder, {"checkpoint": model.digest, "split_digest": split.digest, "pictures": pictures}
    )
    return Explanations(str(config.folder), tuple(one for _, one in found))


def read_explanations(folder: Path) -> ReasonsDocument | None:
    """What was kept of an export folder; None where nothing was explained. Raises InputError."""

    def build(value: Any) -> ReasonsDocument:
        document = documents.convert(value, ReasonsDocument)
        for picture in document.pictures:
            if not picture.reasons or picture.reasons[0].sha256 is not None:
                raise InputError(f"image {picture.index} lacks Keras's reason.")
            for reason in picture.reasons:
                if len({len(row) for row in reason.drops}) > 1:
                    raise InputError(f"a map of image {picture.index} has rows of different lengths.")
        return document

    remedy = f"Remove it, or run `vitconv explain {folder}` again."
    return documents.read_if_there(folder / kept_results.EXPLANATIONS, build, "explanations", remedy)


def _verification(folder: Path, document: Manifest) -> kept_results.VerificationDocument:
    kept = kept_results.read_verification(folder, len(document.labels))
    if kept is None:
        raise InputError(
            f"{folder} has no verification that says where its files and Keras disagree. Run "
            f"`vitconv verify {folder}` first, or name pictures."
        )
    if kept.checkpoint != document.checkpoint.sha256:
        raise InputError(
            f"{folder} holds a verification of another checkpoint. Run `vitconv verify {folder}` again."
        )
    return kept


@contextmanager
def _opened(folder: Path, entries: Sequence[ModelFile]) -> Iterator[list[Subject]]:
    """Raises ModelFileError where a file is not the manifest's."""
    with ExitStack() as stack:
        subjects = []
        for entry in entries:
            path = folder / entry.path
            if not path.is_file() or files.sha256(path) != entry.sha256:
                raise ModelFileError(f"{path} is missing, or not as it was exported. Export again.")
            subjects.append(stack.enter_context(file_subject(path, entry.scheme)))
        yield subjects


def _disagreeing(kept: kept_results.VerificationDocument, chosen: Sequence[ModelFile], most: int) -> list[int]:
    """The images on which one of these files and Keras disagree most, each once; `most` are in the split."""
    digests = {entry.sha256 for entry in chosen}
    found = [one.index for file in kept.files if file.sha256 in digests for one in file.disagreements or ()]
    return [index for index in dict.fromkeys(found) if index < most]


def _kept(index: int, explanation: Explanation, digests: Sequence[str | None]) -> dict[str, Any]:
    return {
        "index": index,
        "label": explanation.label,
        "reasons": [
            {
                "by": reason.by,
                "sha256": digest,
                "probability": reason.occlusion.probability,
                "drops": np.round(reason.occlusion.drops, 4).tolist(),
                "rank_correlation": reason.alike,
            }
            for reason, digest in zip(explanation.reasons, digests, strict=True)
        ],
    }
