"""What a .tflite file says about itself: labels, pixel range, picture size, description, author, licence.

The format is TFLite Metadata, which the Task Library, MediaPipe and Android Studio read: a record inside
the model, made by tflite-support's writer for image classifiers, and behind the model a zip archive with
labels.txt. vitconv.json in the same archive adds what that format has no field for: the resize rule, and the
temperature and thresholds of `confidence`.
"""

from __future__ import annotations

import ctypes
import json
import math
import tempfile
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from ai_edge_litert import schema_py_generated as schema

from vitconv.data.pictures.images import ImageDocument, ImageSpec
from vitconv.foundation import documents
from vitconv.foundation.errors import InputError, MissingToolError, ModelFileError, PromiseError
from vitconv.foundation.text import decoded
from vitconv.tflite import archive, flatbuffer, mapping
from vitconv.tflite.confidence import Confidence
from vitconv.tflite.graph import Graph

_RECORD = "TFLITE_METADATA"
_LABELS = "labels.txt"
_FACTS = "vitconv.json"


class _Facts(msgspec.Struct, frozen=True):
    """vitconv.json."""

    image: ImageDocument
    confidence: Confidence | None = None


@dataclass(frozen=True)
class ModelMetadata:
    """What is written into a .tflite file. `labels[i]` names the class of output i; `image` is the input.
    `confidence`: what makes its probabilities mean something, where that was asked for."""

    name: str
    description: str
    version: str
    author: str
    licence: str
    labels: tuple[str, ...]
    image: ImageSpec
    confidence: Confidence | None = None

    def to_json(self) -> dict[str, Any]:
        """As `vitconv inspect --json` shows it."""
        fields = {**vars(self), "labels": list(self.labels), "image": self.image.to_json()}
        confidence = fields.pop("confidence")
        return fields if confidence is None else {**fields, "confidence": confidence.to_json()}


def write(graph: Graph, metadata: ModelMetadata, name: str) -> Graph:
    """The graph as a file of that name with metadata; metadata that it already has are replaced. `data` of what is
    returned are the file's bytes.

    The same arguments always give the same bytes. The description gets a paragraph on how the tensors'
    numbers stand for pixels and probabilities; `read` leaves it out again.
    Raises InputError where the labels or the picture do not fit the model, PromiseError where what is read back is
    not what was written.
    """
    model = graph.draft()
    _check(model, metadata)
    files = {_LABELS: "\n".join(metadata.labels) + "\n", _FACTS: _facts(metadata)}
    _set_record(model, _record(model, metadata, files))
    written = Graph.parse(archive.append(flatbuffer.serialize(model), files), name)
    found = read(written)
    if found != metadata:
        raise PromiseError(f"metadata came back changed: wrote {metadata}, read {found}. Please report this.")
    return written


def read(graph: Graph) -> ModelMetadata | None:
    """The metadata of a file; None where it has none.

    A file of another tool has no resize rule: "stretch" then, which is what the Task Library does.
    Raises ModelFileError where its metadata are corrupt or are not those of an image classifier.
    """
    record = _get_record(graph.model)
    if record is None:
        return None
    try:
        return _read_record(graph.model, record, archive.read(graph.data))
    # Corrupt bytes reach many places of the generated code and zipfile, each with an exception of its own.
    except Exception as error:
        raise _unreadable(error, " as an image classifier's") from error


def read_normalization(graph: Graph) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """What a float input wants of pixels 0–255, as (mean, standard deviation): (pixel − mean) / deviation.

    Each has one number, or one a channel. Files made here have 0 and 1. None where the file does not say.
    Raises ModelFileError as `read` does.
    """
    record = _get_record(graph.model)
    if record is None:
        return None
    try:
        return _read_normalization(record)
    except Exception as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception, how: str = "") -> ModelFileError:
    reason = str(error).rstrip(".") if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    return ModelFileError(f"the model's metadata cannot be read{how} ({reason}). Export the model again.")


def _read_normalization(record: bytes) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    from tensorflow_lite_support.metadata import metadata_schema_py_generated as records

    source = records.ModelMetadata.GetRootAs(record, 0).SubgraphMetadata(0).InputTensorMetadata(0)
    for index in range(min(source.ProcessUnitsLength(), archive.MAX_FILES)):
        unit = source.ProcessUnits(index)
        if unit.OptionsType() == records.ProcessUnitOptions.NormalizationOptions:
            options, table = records.NormalizationOptions(), unit.Options()
            options.Init(table.Bytes, table.Pos)
            mean = tuple(float(value) for value in options.MeanAsNumpy())
            deviation = tuple(float(value) for value in options.StdAsNumpy())
            fits = {len(mean), len(deviation)} <= {1, 3} and all(map(math.isfinite, mean + deviation))
            if fits and all(deviation):
                return mean, deviation
            raise InputError(f"a normalisation by {mean} and {deviation}")
    return None


def _check(model: Any, metadata: ModelMetadata) -> None:
    for field in ("name", "description", "version", "author", "licence"):
        _check_text(field, getattr(metadata, field))
    for index, label in enumerate(metadata.labels):
        _check_text(f"label {index}", label)
        if not label.strip() or label.splitlines() != [label]:
            raise InputError(f"label {index} must be one line of text, not {label!r}. Correct the labels.")
    source, output = _input_and_output(model)
    shape, classes = flatbuffer.tensor_shape(source), _classes(output)
    if len(metadata.labels) != classes:
        raise InputError(
            f"{len(metadata.labels)} labels do not fit a model with {classes} outputs. "
            "Give one label for each output."
        )
    if shape != (1, *metadata.image.shape):
        raise InputError(f"pictures of {metadata.image.shape} do not fit the model's input {shape}.")


def _check_text(what: str, value: str) -> None:
    if "\0" in value:
        raise InputError(f"{what} must not hold a zero character: {value!r}.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{what} cannot be written as UTF-8: {value!r}.") from error


def _record(model: Any, metadata: ModelMetadata, files: dict[str, str]) -> bytes:
    """The metadata record, built and checked by tflite-support."""
    _load_libusb()
    try:
        from tensorflow_lite_support.metadata import metadata_schema_py_generated as records
        from tensorflow_lite_support.metadata.python.metadata_writers import (
            image_classifier,
            metadata_info,
            writer_utils,
        )
    except ImportError as error:
        raise MissingToolError(
            f"tflite-support cannot be loaded ({error}). Install vitconv's dependencies again; "
            "where libusb is what is missing, install libusb 1.0 from your system."
        ) from error

    source, output = _input_and_output(model)
    ends = bytearray(_ends(source, output))
    general = metadata_info.GeneralMd(
        name=metadata.name,
        version=metadata.version,
        description="\n\n".join(filter(None, (metadata.description, mapping.in_words(source, output)))),
        author=metadata.author,
        licenses=metadata.licence,
    ).create_metadata()
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder, name) for name in files}
        for name, path in paths.items():
            path.write_text(files[name], encoding="utf-8", newline="\n")
        input_record = metadata_info.InputImageTensorMd(
            name="image",
            description=mapping.of_input(source),
            norm_mean=[0.0],
            norm_std=[1.0],
            color_space_type=records.ColorSpaceType.RGB,
            tensor_type=writer_utils.get_input_tensor_types(ends)[0],
        )
        output_record = metadata_info.ClassificationTensorMd(
            name="probability",
            description=mapping.of_output(output),
            label_files=[metadata_info.LabelFileMd(str(paths[_LABELS]))],
            tensor_type=writer_utils.get_output_tensor_types(ends)[0],
        )
        facts = metadata_info.AssociatedFileMd(str(paths[_FACTS]), "How a picture is brought to the input's size.")
        general.associatedFiles = [facts.create_metadata()]
        writer = image_classifier.MetadataWriter.create_from_metadata(
            model_buffer=ends,
            model_metadata=general,
            input_metadata=[input_record.create_metadata()],
            output_metadata=[output_record.create_metadata()],
            associated_files=[str(path) for path in paths.values()],
        )
        populated = flatbuffer.parse(bytes(writer.populate()), metadata.name)
    record = _get_record(populated)
    if record is None:
        raise PromiseError(f"tflite-support wrote no metadata into {metadata.name}. Please report this.")
    return record


def _ends(source: Any, output: Any) -> bytes:
    """A model of nothing but the input and the output: all that the record tells of one.

    tflite-support would also write the whole file, but with its model schema of 2022, which drops newer fields in
    silence, with weights out of alignment, and with the time of day in the archive.
    """
    tensors = [copy(source), copy(output)]
    for tensor in tensors:
        tensor.buffer = 0
    subgraph = schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[1], operators=[])
    return flatbuffer.serialize(schema.ModelT(version=3, subgraphs=[subgraph], buffers=[schema.BufferT()]))


def _load_libusb() -> None:
    """Loads PyPI's libusb, so that tflite-support's native parts find one where the system has none."""
    import libusb_package

    path = libusb_package.get_library_path()
    if path is not None:
        ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)


def _read_record(parsed: Any, record: bytes, files: dict[str, bytes]) -> ModelMetadata:
    from tensorflow_lite_support.metadata import metadata_schema_py_generated as records

    # Field by field, not the whole tree: a corrupt record can then cost no more than its own size.
    root = records.ModelMetadata.GetRootAs(record, 0)
    source, output = _input_and_output(parsed)
    described = root.SubgraphMetadata(0)
    if (
        described is None
        or described.InputTensorMetadataLength() != 1
        or described.OutputTensorMetadataLength() != 1
    ):
        raise InputError("they do not tell of its one input and its one output")
    description = flatbuffer.text(root.Description())
    ours = mapping.in_words(source, output)
    if description.endswith(ours):
        description = description[: -len(ours)].removesuffix("\n\n")
    name = _label_file(root, records.AssociatedFileType.TENSOR_AXIS_LABELS)
    if name not in files:
        raise InputError(f"{name} with its labels is not in the file")
    confidence = None
    if _FACTS in files:
        facts = documents.convert(documents.parse(files[_FACTS]), _Facts)
        image, confidence = facts.image.spec, facts.confidence
    else:
        shape = flatbuffer.tensor_shape(source)
        if len(shape) != 4:
            raise InputError(f"its input has the shape {shape}, which is not one picture")
        image = ImageSpec(*shape[1:])
    return ModelMetadata(
        name=flatbuffer.text(root.Name()),
        description=description,
        version=flatbuffer.text(root.Version()),
        author=flatbuffer.text(root.Author()),
        licence=flatbuffer.text(root.License()),
        labels=_label_lines(files[name], _classes(output)),
        image=image,
        confidence=confidence,
    )


def _label_lines(encoded: bytes, classes: int) -> tuple[str, ...]:
    """The lines of a label file, with the line ends of any system. Empty ones at its end for which the model has
    no output are left out."""
    try:
        text = decoded(encoded)
    except UnicodeDecodeError:
        raise InputError("its labels are not text in UTF-8 or UTF-16") from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    while len(lines) > max(classes, 1) and not lines[-1]:
        lines.pop()
    return tuple(lines)


def _label_file(root: Any, kind: int) -> str:
    """The name of the file of labels that belongs to the model's output."""
    output = root.SubgraphMetadata(0).OutputTensorMetadata(0)
    for index in range(min(output.AssociatedFilesLength(), archive.MAX_FILES)):
        file = output.AssociatedFiles(index)
        if file.Type() == kind:
            return flatbuffer.text(file.Name())
    raise InputError("no labels belong to its output")


def _facts(metadata: ModelMetadata) -> str:
    facts: dict[str, Any] = {"image": metadata.image.to_json()}
    if metadata.confidence is not None:
        facts["confidence"] = metadata.confidence.to_json()
    return json.dumps(facts, indent=2) + "\n"


def _get_record(parsed: Any) -> bytes | None:
    for entry in parsed.metadata or []:
        data = parsed.buffers[entry.buffer].data
        if flatbuffer.text(entry.name) == _RECORD and data is not None:
            return bytes(data)
    return None


def _set_record(parsed: Any, record: bytes) -> None:
    buffer = schema.BufferT(data=flatbuffer.data_vector(record))
    for entry in parsed.metadata or []:
        if flatbuffer.text(entry.name) == _RECORD:
            parsed.buffers[entry.buffer] = buffer
            return
    parsed.buffers.append(buffer)
    entry = schema.MetadataT(name=_RECORD, buffer=len(parsed.buffers) - 1)
    parsed.metadata = [*(parsed.metadata or []), entry]


def _input_and_output(parsed: Any) -> tuple[Any, Any]:
    graph = parsed.subgraphs[0]
    inputs: list[int] = [] if graph.inputs is None else list(graph.inputs)
    outputs: list[int] = [] if graph.outputs is None else list(graph.outputs)
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(
            f"an image classifier has one input and one output, not {len(inputs)} and {len(outputs)}."
        )
    return graph.tensors[inputs[0]], graph.tensors[outputs[0]]


def _classes(output: Any) -> int:
    shape = flatbuffer.tensor_shape(output)
    return shape[-1] if shape else 1
