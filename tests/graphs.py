"""A .tflite file's bytes in, what the package's graphs say of them out."""

from __future__ import annotations

from vitconv.tflite import metadata
from vitconv.tflite.graph import Graph
from vitconv.tflite.inspection import Inspection, inspect_graph
from vitconv.tflite.metadata import ModelMetadata


def with_metadata(data: bytes, described: ModelMetadata) -> bytes:
    """The file with metadata."""
    return metadata.write(Graph.parse(data, described.name), described, described.name).data


def metadata_of(data: bytes) -> ModelMetadata | None:
    """What the file says of itself."""
    return metadata.read(Graph.parse(data, "the model"))


def inspect_bytes(data: bytes, name: str) -> Inspection:
    """What the file holds."""
    return inspect_graph(Graph.parse(data, name))
