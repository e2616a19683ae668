"""Model files of other tools, and broken ones, for the app's reader of metadata; what the converter reads in them.

    python tests/android_metadata.py      writes the file anew

They have an input and an output and no operators: a reader of metadata looks at nothing else.
"""

from __future__ import annotations

import base64
import io
import json
import math
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from tensorflow_lite_support.metadata import metadata_schema_py_generated as records

from vitconv.foundation.errors import ModelFileError
from vitconv.tflite import flatbuffer, metadata
from vitconv.tflite.graph import Graph

FILE = Path(__file__).resolve().parent.parent / "android-app/app/src/test/resources/metadata.json"

# What the converter sees when it runs the file.
RUNTIME_S = ("Type", "Scale", "OutputShape", "Labels", "NoNormalization", "WrongNormalization")


def _made(kind: Any, **values: Any) -> Any:
    record = kind()
    for name, value in values.items():
        setattr(record, name, value)
    return record


def _normalization(mean: list[float], deviation: list[float]) -> Any:
    options = _made(records.NormalizationOptionsT, mean=mean, std=deviation)
    return _made(
        records.ProcessUnitT, optionsType=records.ProcessUnitOptions.NormalizationOptions, options=options
    )


def _threshold() -> Any:
    options = _made(records.ScoreThresholdingOptionsT, globalScoreThreshold=0.5)
    return _made(
        records.ProcessUnitT, optionsType=records.ProcessUnitOptions.ScoreThresholdingOptions, options=options
    )


def _tensor(name: str, shape: tuple[int, ...], kind: int, scale: float | None = None, zero_point: int = 0) -> Any:
    tensor = schema.TensorT(shape=np.array(shape, np.int32), type=kind, name=name)
    if scale is not None:
        tensor.quantization = schema.QuantizationParametersT(scale=[scale], zeroPoint=[zero_point])
    return tensor


@dataclass
class Parts:
    """A file of two classes, as another tool writes it; each case changes some of it."""

    tensors: list[Any] = field(
        default_factory=lambda: [
            _tensor("image", (1, 4, 5, 3), schema.TensorType.FLOAT32),
            _tensor("probability", (1, 2), schema.TensorType.FLOAT32),
        ]
    )
    inputs: list[int] = field(default_factory=lambda: [0])
    outputs: list[int] = field(default_factory=lambda: [1])
    units: list[Any] | None = field(default_factory=lambda: [_normalization([127.5], [64.0])])
    label_files: list[Any] | None = field(
        default_factory=lambda: [
            _made(records.AssociatedFileT, name="values.txt", type=records.AssociatedFileType.TENSOR_VALUE_LABELS),
            _made(records.AssociatedFileT, name="labels.txt", type=records.AssociatedFileType.TENSOR_AXIS_LABELS),
        ]
    )
    files: dict[str, bytes] = field(default_factory=lambda: {"labels.txt": b"cat\ndog\n"})
    has_record: bool = True
    has_input_record: bool = True
    has_output_record: bool = True
    texts: dict[str, str] = field(default_factory=dict)

    def integers(self, kind: int, scale: float | None, zero_point: int = 0) -> None:
        self.tensors[0] = _tensor("image", (1, 4, 5, 3), kind, scale, zero_point)

    def data(self) -> bytes:
        """The file's bytes."""
        subgraph = schema.SubGraphT(
            tensors=self.tensors,
            inputs=np.array(self.inputs, np.int32),
            outputs=np.array(self.outputs, np.int32),
            operators=[],
        )
        model = schema.ModelT(version=3, subgraphs=[subgraph], buffers=[schema.BufferT()])
        if self.has_record:
            metadata._set_record(model, self._record())
        stream = io.BytesIO()  # files are stored as they are: TensorFlow Lite's library unpacks nothing
        stream.write(flatbuffer.serialize(model))
        if self.files:
            with zipfile.ZipFile(stream, "w") as archive:
                for name, content in self.files.items():
                    archive.writestr(zipfile.ZipInfo(name), content)
        return stream.getvalue()

    def _record(self) -> bytes:
        source = _made(records.TensorMetadataT, name="image", processUnits=self.units)
        output = _made(records.TensorMetadataT, name="probability", associatedFiles=self.label_files)
        subgraph = _made(
            records.SubGraphMetadataT,
            inputTensorMetadata=[source] if self.has_input_record else None,
            outputTensorMetadata=[output] if self.has_output_record else None,
        )
        tree = _made(records.ModelMetadataT, subgraphMetadata=[subgraph], **self.texts)
        builder = flatbuffers.Builder()
        builder.Finish(tree.Pack(builder), b"M001")
        return bytes(builder.Output())


# What is changed, and the app's word for what is wrong then; None where the file is one to use.
_CASES: dict[str, tuple[Callable[[Parts], Any], str | None]] = {
    "as it is": (lambda parts: None, None),
    "with every text": (
        lambda parts: parts.texts.update(
            name="Tom", description="Cats, dogs.", version="2", author="J.", license="MIT"
        ),
        None,
    ),
    "labels of Windows": (lambda parts: parts.files.update({"labels.txt": b"cat\r\ndog\r\n"}), None),
    "labels of an old Macintosh": (lambda parts: parts.files.update({"labels.txt": b"cat\rdog"}), None),
    "labels in UTF-16, little-endian": (
        lambda parts: parts.files.update({"labels.txt": b"\xff\xfe" + "Mädchen\n猫\n".encode("utf-16-le")}),
        None,
    ),
    "labels in UTF-16, big-endian": (
        lambda parts: parts.files.update({"labels.txt": b"\xfe\xff" + "Mädchen\n猫\n".encode("utf-16-be")}),
        None,
    ),
    "labels after a byte-order mark": (
        lambda parts: parts.files.update({"labels.txt": b"\xef\xbb\xbfcat\ndog\n"}),
        None,
    ),
    "labels with empty lines after them": (
        lambda parts: parts.files.update({"labels.txt": b"cat\ndog\n\n\n\n"}),
        None,
    ),
    "a class whose label is empty": (lambda parts: parts.files.update({"labels.txt": b"cat\n\n"}), None),
    "a label of one letter, and one class": (
        lambda parts: (
            parts.files.update({"labels.txt": b"x"}),
            parts.tensors.__setitem__(1, _tensor("probability", (1, 1), schema.TensorType.FLOAT32)),
        ),
        None,
    ),
    "an output without dimensions": (
        lambda parts: (
            parts.files.update({"labels.txt": b"cat\n\n"}),
            parts.tensors.__setitem__(1, _tensor("probability", (), schema.TensorType.FLOAT32)),
        ),
        "OutputShape",
    ),
    "a mean for each channel": (
        lambda parts: setattr(parts, "units", [_normalization([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])]),
        None,
    ),
    "one mean and three deviations": (
        lambda parts: setattr(parts, "units", [_normalization([1.0], [4.0, 5.0, 6.0])]),
        None,
    ),
    "another unit before the normalisation": (
        lambda parts: setattr(parts, "units", [_threshold(), _normalization([1.0], [2.0])]),
        None,
    ),
    "another unit alone": (lambda parts: setattr(parts, "units", [_threshold()]), "NoNormalization"),
    "no units": (lambda parts: setattr(parts, "units", None), "NoNormalization"),
    "uint8": (lambda parts: parts.integers(schema.TensorType.UINT8, 0.5, 3), None),
    "int8": (lambda parts: parts.integers(schema.TensorType.INT8, 1 / 64, 0), None),
    "int8 with the scale of other pixels": (
        lambda parts: parts.integers(schema.TensorType.INT8, 16.0, 0),
        "WrongNormalization",
    ),
    "three labels for two classes": (
        lambda parts: parts.files.update({"labels.txt": b"cat\ndog\nox\n"}),
        "Labels",
    ),
    "integers that stand for themselves": (lambda parts: parts.integers(schema.TensorType.UINT8, None), None),
    "two means": (lambda parts: setattr(parts, "units", [_normalization([1.0, 2.0], [1.0])]), "Metadata"),
    "two deviations": (lambda parts: setattr(parts, "units", [_normalization([1.0], [1.0, 2.0])]), "Metadata"),
    "no mean": (lambda parts: setattr(parts, "units", [_normalization([], [1.0])]), "Metadata"),
    "a deviation of 0": (
        lambda parts: setattr(parts, "units", [_normalization([1.0], [1.0, 0.0, 1.0])]),
        "Metadata",
    ),
    "a mean that is no number": (
        lambda parts: setattr(parts, "units", [_normalization([math.nan], [1.0])]),
        "Metadata",
    ),
    "a deviation without end": (
        lambda parts: setattr(parts, "units", [_normalization([1.0], [math.inf])]),
        "Metadata",
    ),
    "a scale below 0": (lambda parts: parts.integers(schema.TensorType.UINT8, -0.5), "Scale"),
    "a scale without end": (lambda parts: parts.integers(schema.TensorType.UINT8, math.inf), "Scale"),
    "a scale that is no number": (lambda parts: parts.integers(schema.TensorType.INT8, math.nan), "Scale"),
    "labels that are no text": (
        lambda parts: parts.files.update({"labels.txt": b"cat\xff\xfe\xfd\n"}),
        "Metadata",
    ),
    "labels that are not there": (lambda parts: parts.files.clear(), "Metadata"),
    "no file of labels": (lambda parts: setattr(parts, "label_files", None), "NoLabels"),
    "labels of values alone": (lambda parts: parts.label_files.pop(), "NoLabels"),  # type: ignore[union-attr]
    "no word about the output": (lambda parts: setattr(parts, "has_output_record", False), "Metadata"),
    "no word about the input": (lambda parts: setattr(parts, "has_input_record", False), "Metadata"),
    "no metadata": (lambda parts: setattr(parts, "has_record", False), "NoMetadata"),
    "two inputs": (lambda parts: setattr(parts, "inputs", [0, 0]), "Tensors"),
    "two outputs": (lambda parts: setattr(parts, "outputs", [1, 1]), "Tensors"),
    "grey pictures": (
        lambda parts: parts.tensors.__setitem__(0, _tensor("image", (1, 4, 5, 1), schema.TensorType.FLOAT32)),
        "InputShape",
    ),
    "a sentence": (
        lambda parts: parts.tensors.__setitem__(0, _tensor("words", (1, 128), schema.TensorType.FLOAT32)),
        "InputShape",
    ),
    "half precision": (lambda parts: parts.integers(schema.TensorType.FLOAT16, None), "Type"),
    "whole numbers for an answer": (
        lambda parts: parts.tensors.__setitem__(1, _tensor("class", (1, 2), schema.TensorType.INT64)),
        "Type",
    ),
    "facts that are none": (lambda parts: parts.files.update({"vitconv.json": b'{"image": 3}'}), "Metadata"),
}


def cases() -> Iterator[dict[str, Any]]:
    """The content of FILE."""
    for name, (change, problem) in _CASES.items():
        parts = Parts()
        change(parts)
        data = parts.data()
        case = {"name": name, "file": base64.b64encode(data).decode(), "problem": problem}
        yield case if problem else {**case, **read(data)}


def read(data: bytes) -> dict[str, Any]:
    """What the converter reads in a file. Raises ModelFileError."""
    graph = Graph.parse(data, "m.tflite")
    found = metadata.read(graph)
    if found is None:
        raise ModelFileError("no metadata")
    normalization = metadata.read_normalization(graph)
    model = graph.model
    return {
        "texts": [found.name, found.description, found.version, found.author, found.licence],
        "labels": list(found.labels),
        "image": found.image.to_json(),
        "mean": normalization and list(normalization[0]),
        "deviation": normalization and list(normalization[1]),
        "quantization": flatbuffer.tensor_quantization(model.subgraphs[0].tensors[0]),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(list(cases()), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
