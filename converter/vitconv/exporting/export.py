"""A checkpoint, or a file of another tool → a folder of checked .tflite files.

DIR/manifest.json                    what is here, from which checkpoint, made by which versions
DIR/MODEL-DATASET-SCHEME.tflite      one a scheme, with metadata
DIR/labels.txt, calibration.json     class names, one a line; the ranges that integer files were made from
DIR/training.csv                     loss and accuracy of every epoch, where the checkpoint tells
DIR/liveness.json                    which layers take part in the answers, where the checkpoint tells
DIR/classes.json                     what training saw of each class, and its validation accuracy, likewise
DIR/golden/                          eight images as PNG, golden.json with Keras's probabilities
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitconv.checkpoints import checkpoint as checkpoints
from vitconv.checkpoints import pretrained
from vitconv.classifiers.float_model import FloatModel
from vitconv.classifiers.opening import check_answers, open_model
from vitconv.classifiers.told import Told
from vitconv.conversion import schemes
from vitconv.conversion.schemes import Probabilities, Scheme
from vitconv.data.datasets import Dataset, open_pictures
from vitconv.exporting import classes, confidence, golden, gpu, manifest
from vitconv.exporting.cheapest.limits import AccuracyLimit, Search
from vitconv.exporting.cheapest.pictures import choose_pictures
from vitconv.exporting.cheapest.search import Candidate, candidates, search
from vitconv.exporting.coarse_answers import coarse_output
from vitconv.exporting.described import describe, manifest_of, metadata_of, model_name, names_of
from vitconv.exporting.first_run import check_runs
from vitconv.exporting.folder import export_folder, put_in_place
from vitconv.foundation import documents
from vitconv.foundation.configs import check_types
from vitconv.foundation.disk.files import writable_directory, write_json, write_text
from vitconv.foundation.errors import InputError
from vitconv.foundation.progress import Progress
from vitconv.quantization import calibration as calibrations
from vitconv.quantization.calibration import Calibration
from vitconv.quantization.cost_model import estimated_instructions
from vitconv.quantization.hybrid.kept import Kept, matching
from vitconv.tflite import metadata
from vitconv.tflite.graph import Graph
from vitconv.tflite.inspection import inspect_graph
from vitconv.tflite.metadata import ModelMetadata


@dataclass(frozen=True)
class ExportConfig:
    """What to export: a checkpoint, or a file of another tool, of which `told` says what the file does not.
    `images` is a folder of pictures without classes in the place of a data set. `dataset` None means the one the
    checkpoint was trained on; `calibration` is a file that `calibrate` wrote and, where given, makes calibration
    images unnecessary. Where neither it nor `dataset` nor `samples` is given, the calibration file that comes
    with vitconv for these weights is taken, if there is one; `samples` None means DEFAULT_SAMPLES otherwise.
    `keep_float` are patterns of layer names (`block0.*`) that stay float in int8-hybrid; None lets measurement
    decide. `probabilities` is what integer files give: "uint8" in steps of 1/256, or "float32", for which their
    last softmax stays float. `confidence`: whether a temperature and thresholds are fitted on validation images
    and written into the files' metadata. With a `limit` one file is exported, whatever its scheme: the cheapest
    that keeps it."""

    checkpoint: Path
    out: Path
    schemes: tuple[str, ...] = tuple(schemes.SCHEMES)
    dataset: str | None = None
    calibration: Path | None = None
    keep_float: tuple[str, ...] | None = None
    samples: int | None = None
    author: str = "unknown"
    licence: str = "unknown"
    probabilities: Probabilities = "uint8"
    images: Path | None = None
    told: Told = field(default_factory=Told)
    confidence: bool = False
    limit: AccuracyLimit | None = None

    def __post_init__(self) -> None:
        check_types(self)
        if self.limit is not None and set(self.schemes) != set(schemes.SCHEMES):
            raise InputError("--max-drop chooses the scheme itself. Leave --quant out, or --max-drop.")
        if self.limit is not None and self.keep_float is not None:
            raise InputError("--max-drop chooses what stays float itself. Leave --keep-float out, or --max-drop.")
        if self.images is not None and self.dataset is not None:
            raise InputError(
                "--images is for pictures without classes, in the place of --dataset. Give one of them."
            )
        if not self.schemes:
            raise InputError(f"there is no scheme to export. Name at least one of: {', '.join(schemes.SCHEMES)}.")
        for name in self.schemes:
            schemes.find(name)
        schemes.check_probabilities(self.probabilities)
        if self.samples is not None:
            calibrations.check_samples(self.samples)
        hybrids = [name for name, scheme in schemes.SCHEMES.items() if scheme.hybrid]
        if self.keep_float is not None and not set(hybrids) & set(self.schemes):
            raise InputError(
                f"--keep-float works with {' and '.join(hybrids)} only. Add {' or '.join(hybrids)} to --quant."
            )


@dataclass(frozen=True)
class ExportResult:
    """A finished export; `manifest` is manifest.json's content. `calibration` is None where nothing was
    calibrated. `notes` say what a user should know of how it was made."""

    folder: Path
    manifest: Mapping[str, Any]
    calibration: Calibration | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return dict(self.manifest)


def export(config: ExportConfig, progress: Progress | None = None) -> ExportResult:
    """Writes the files of every scheme asked for, each checked against its promises, and the manifest last.

    Files of other schemes that an earlier export of the same checkpoint left in the folder stay in the manifest.
    Where no image of the data set is needed for calibration and it is not on this machine, the golden images are
    `golden.sample_photographs`.
    Raises PromiseError where a file is not what its scheme promises; nothing is written then.
    """
    model = open_model(config.checkpoint, config.told, config.dataset, progress)
    wanted = [schemes.find(name).giving(config.probabilities) for name in dict.fromkeys(config.schemes)]
    known = _known_calibration(config, model)
    needed = known is None and any(one.needs_calibration for one in wanted)
    dataset = _dataset(config, model, needed, progress)
    out = writable_directory(config.out)
    if dataset is not None:
        check_answers(model, dataset, progress)
    validation = confidence.validation_split(model, dataset, progress) if config.confidence else None
    names = names_of(model, describe(model, dataset)["name"], wanted, config.out, config.calibration)

    with export_folder(out, model, names) as (staging, earlier):
        pictures = golden.choose(model, dataset, progress)
        probabilities = golden.write(staging, model, pictures)
        graphs = model.float_graphs(wanted, progress)
        calibration, dataset = _calibration(config, model, dataset, known, graphs, progress)
        if calibration is not None and earlier.calibration:
            calibration = calibration.joined(calibrations.read(out / manifest.CALIBRATION))
        described = describe(model, dataset)
        made: Iterable[Candidate]
        trace: Search | None = None
        if config.limit is not None and dataset is not None and calibration is not None:
            asked = choose_pictures(model, dataset, estimated_instructions(graphs["float32"]), progress)
            choice = list(candidates(graphs, calibration, config.probabilities, model.in_blocks))
            found, trace = search(config.limit, choice, asked, progress)
            made, wanted = [found], [found.scheme]
        else:
            made = _quantized(graphs, wanted, calibration, config.keep_float, progress)
        files, cut = [], []
        for one in made:
            path = staging / model_name(model, described["name"], one.scheme)
            said = metadata_of(model, described["name"], one.scheme, config.author, config.licence)
            if validation is not None:
                said = confidence.fitted(one.graph, said, path, validation, progress)
            file = metadata.write(one.graph, said, path.name)
            one.scheme.check(inspect_graph(file))
            path.write_bytes(file.data)
            cut.append(check_runs(path, one.scheme, pictures.images[:1], ours=model.told is None))
            fit = {"gpu": documents.to_json(gpu.entry(file))}
            files.append({**manifest.file_entry(path, one.scheme.name), **_facts(one.kept, said, trace), **fit})
        _add_what_goes_along(staging, model, calibration)
        document = manifest_of(model, described, staging, files, earlier)
        if dataset is not None and "told" in document:
            pictures_of = {"source": dataset.opened_by, "labelled": dataset.labelled}
            document["told"] = {**document["told"], "pictures": pictures_of}
        put_in_place(staging, out, document)
    notes = (
        pictures.note,
        coarse_output(wanted, calibration, probabilities),
        *cut,
        *_refused_rules(model),
        trace.sentence if trace else None,
    )
    return ExportResult(out, document, calibration, tuple(note for note in notes if note is not None))


def _known_calibration(config: ExportConfig, model: FloatModel) -> Calibration | None:
    """Ranges that need no image: of the file given, or of the one that comes with vitconv for these weights."""
    if config.calibration:
        calibration = calibrations.read(config.calibration)
        calibration.check_checkpoint(model)
        return calibration
    if config.dataset or config.images or config.samples is not None:
        return None
    shipped = pretrained.calibration_file(model.digest)
    return calibrations.read(shipped) if shipped else None


def _dataset(config: ExportConfig, model: FloatModel, needed: bool, progress: Progress | None) -> Dataset | None:
    """The pictures, where they were asked for, they are needed, or they are on this machine."""
    if config.images is not None:
        return open_pictures(config.images, progress)
    if config.dataset or needed or config.confidence or config.limit or model.dataset_is_here():
        return model.open_dataset(config.dataset)
    return None


def _calibration(
    config: ExportConfig,
    model: FloatModel,
    dataset: Dataset | None,
    known: Calibration | None,
    graphs: Mapping[str, Graph],
    progress: Progress | None,
) -> tuple[Calibration | None, Dataset | None]:
    """The ranges of the graphs, given by scheme, that need some, None where none does; and the data set, which is
    opened where they have to be measured."""
    calibrated = {name: graph for name, graph in graphs.items() if schemes.find(name).needs_calibration}
    if not calibrated:
        return None, dataset
    # The one that comes with vitconv may have been made with other versions of its libraries.
    if known is not None and (config.calibration or known.fits(calibrated)):
        return known, dataset
    dataset = dataset or model.open_dataset(config.dataset)
    samples = config.samples or calibrations.DEFAULT_SAMPLES
    return calibrations.measure(calibrated, model, dataset, samples, progress=progress), dataset


def _quantized(
    graphs: Mapping[str, Graph],
    wanted: Sequence[Scheme],
    calibration: Calibration | None,
    keep_float: Sequence[str] | None,
    progress: Progress | None,
) -> Iterator[Candidate]:
    """What each scheme's file holds. What `keep_float` or calibration names stays float in a hybrid."""
    for done, scheme in enumerate(wanted):
        if progress:
            progress(f"exporting {scheme.name}", done, len(wanted))
        graph = graphs[scheme.name]
        if calibration is None or not scheme.needs_calibration:
            yield Candidate(scheme.name, scheme, graph)
            continue
        measured = calibration.of_graph(scheme.name, graph)
        kept = measured.kept
        if scheme.hybrid and keep_float is not None:
            kept = matching(graph, keep_float)
        yield Candidate.quantized(scheme.name, scheme, graph, measured, kept)
    if progress:
        progress("exporting", len(wanted), len(wanted))


def _facts(kept: Kept | None, said: ModelMetadata, trace: Search | None) -> dict[str, Any]:
    """What the manifest says of a hybrid file beside the others, of one with a temperature, and of one that a
    search has found."""
    sure = {} if said.confidence is None else {"confidence": said.confidence.to_json()}
    if trace is not None:
        sure["search"] = trace.to_json()
    if kept is None:
        return sure
    return {"keep_float": list(kept.layers), "sensitivity": [vars(unit) for unit in kept.units], **sure}


def _refused_rules(model: FloatModel) -> Iterator[str]:
    """What a user should know of rules that were tried on the model's graph and taken back."""
    for one in model.rules:
        if not one["kept"]:
            yield (
                f"the rule '{one['rule']}' was not used: in {one['places']} places it would have changed answers "
                f"by {one['error']:.2g}."
            )


def _add_what_goes_along(staging: Path, model: FloatModel, calibration: Calibration | None) -> None:
    """Labels, ranges, the training's history, the layers that take part, and what training saw of each class."""
    write_text(staging / manifest.LABELS, "".join(f"{label}\n" for label in model.labels))
    if calibration is not None:
        calibration.save(staging / manifest.CALIBRATION)
    if model.folder is not None and (model.folder / checkpoints.HISTORY).is_file():
        shutil.copyfile(model.folder / checkpoints.HISTORY, staging / manifest.HISTORY)
    if model.card is None:
        return
    if model.card.liveness is not None:
        write_json(staging / manifest.LIVENESS, model.card.liveness.to_json())
    if (trained := classes.of_card(model.card)) is not None:
        classes.write(staging, trained)
