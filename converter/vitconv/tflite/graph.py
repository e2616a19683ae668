"""A model's graph, parsed once and handed from stage to stage.

Its bytes are needed by TensorFlow (which converts and quantizes), by LiteRT (which runs it) and by the file in the
end, and by nobody between.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vitconv.tflite import flatbuffer


@dataclass(frozen=True, eq=False)
class Graph:
    """What a .tflite file holds. `name` is what messages call it.

    model: ai_edge_litert's schema.ModelT as `flatbuffer.parse` describes it. It is never changed: who makes
        another graph of it changes a `draft`.
    source: the bytes that it was parsed from, with what stands behind the model; None where it was made here.
    """

    model: Any = field(repr=False)
    name: str
    source: bytes | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, data: bytes, name: str) -> Graph:
        """The graph in a file's bytes. Raises ModelFileError where they are corrupt."""
        return cls(flatbuffer.parse(data, name), name, data)

    @classmethod
    def read(cls, path: Path) -> Graph:
        """The graph in a file. Raises ModelFileError where there is no such file, or it is corrupt."""
        return cls.parse(flatbuffer.read(path), str(path))

    @cached_property
    def data(self) -> bytes:
        """The file's bytes; the same model always gives the same."""
        return flatbuffer.serialize(self.model) if self.source is None else self.source

    def draft(self) -> Any:
        """A copy of `model` to be changed, down to tensors, operators with their options, and buffers. Vectors
        (shapes, scales, data) are shared with it: give the copy new ones, and write into none."""
        model = copy(self.model)
        for name in ("operatorCodes", "buffers", "metadata", "signatureDefs"):
            _copy_items(model, name)
        _copy_items(model, "subgraphs")
        for subgraph in model.subgraphs:
            _copy_items(subgraph, "tensors")
            _copy_items(subgraph, "operators")
            for operator in subgraph.operators or ():
                operator.builtinOptions = copy(operator.builtinOptions)
        return model


def _copy_items(owner: Any, name: str) -> None:
    items = getattr(owner, name)
    if items is not None:
        setattr(owner, name, [copy(item) for item in items])
