"""A float .tflite file of another tool, such as litert-torch, as an opened file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.classifiers.told import Pixels
from vitconv.conversion import rewriting
from vitconv.conversion.sketch import Sketch
from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.cores import litert_threads
from vitconv.foundation.errors import ModelFileError
from vitconv.foundation.quiet import native_output
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph


@dataclass(frozen=True, eq=False)
class TfliteFile:
    """`source` is the file's graph. `input_shape`: height, width and channels, None for what it leaves open."""

    path: Path
    source: Graph
    input_shape: tuple[int | None, int | None, int | None]
    scales_pixels: bool = False

    def answers(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raises ModelFileError where LiteRT refuses the file."""
        rows = []
        with native_output() as printed:
            try:
                interpreter = self._interpreter(tuple(inputs.shape[1:]))
                source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
                for one in inputs:
                    interpreter.set_tensor(source["index"], one[np.newaxis])
                    interpreter.invoke()
                    rows.append(interpreter.get_tensor(target["index"]).copy())
            except (RuntimeError, ValueError) as error:
                raise ModelFileError(f"LiteRT cannot run {self.path}: {error}\n{printed()}".rstrip()) from error
        found = np.stack(rows)
        if found.ndim < 2 or found.size != len(inputs) * found.shape[-1]:
            raise ModelFileError(
                f"{self.path} gives values of the shape {list(found.shape[1:])}; a classifier of pictures gives a "
                "value a class."
            )
        return np.asarray(found.reshape(len(inputs), -1), np.float32)

    @cached_property
    def _loaded(self) -> dict[tuple[int, ...], Any]:
        return {}

    def _interpreter(self, shape: tuple[int, ...]) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        if shape not in self._loaded:
            interpreter = Interpreter(model_content=self.source.data, num_threads=litert_threads())
            index = interpreter.get_input_details()[0]["index"]
            if tuple(interpreter.get_input_details()[0]["shape"]) != (1, *shape):
                interpreter.resize_tensor_input(index, [1, *shape])
            interpreter.allocate_tensors()
            self._loaded[shape] = interpreter
        return self._loaded[shape]

    def graph(self, image: ImageSpec, pixels: Pixels, softmax: bool, name: str) -> Graph:
        fixed = rewriting.fixed(self.source, (1, *image.shape))
        sketch = Sketch(Graph(fixed.model, name))
        main = sketch.subgraph
        (first,), (last,) = main.inputs, main.outputs
        operators = sketch.operators
        scale, shift = (np.array(values, np.float32) for values in pixels.scale_and_shift)
        given, scaled = int(first), int(first)
        front = operators[0] if operators else None
        readers = list(sketch.readers(given))
        for kind, values, idle in (("MUL", scale, 1), ("ADD", shift, 0)):
            if np.any(values != idle):
                scaled = sketch.add(front, kind, [scaled, sketch.put(values)], sketch.shape(given), "pixels")
        for reader in readers if scaled != given else ():
            sketch.rewire(reader, [scaled if one == given else one for one in map(int, reader.inputs)])
        result = int(last)
        classes = sketch.shape(result)[-1]
        result = sketch.reshape(None, result, (1, classes), "answer")
        if softmax:
            result = sketch.add(None, "SOFTMAX", [result], (1, classes), "probabilities", beta=1.0)
        main.outputs = np.array([result], np.int32)
        return sketch.graph


def open_tflite(path: Path) -> TfliteFile:
    """Raises ModelFileError for what is no float classifier of pictures."""
    graph = Graph.read(path)
    main = graph.model.subgraphs[0]
    inputs, outputs = (
        [] if ends is None else [main.tensors[int(i)] for i in ends] for ends in (main.inputs, main.outputs)
    )
    for what, tensors in (("takes", inputs), ("gives", outputs)):
        if len(tensors) != 1:
            raise ModelFileError(f"{path} {what} {len(tensors)} tensors; a classifier of pictures {what} one.")
        kind = flatbuffer.tensor_dtype(tensors[0])
        if kind != "float32":
            raise ModelFileError(
                f"{path} {what} {kind}: it is quantized, or no classifier of pictures. Give the float file that "
                "it was made from."
            )
    quantized = sum(
        flatbuffer.tensor_dtype(tensor) in ("int8", "uint8", "int16", "float16") for tensor in main.tensors
    )
    if quantized:
        raise ModelFileError(
            f"{path} has {quantized} tensors of less than 32 bits: it is quantized already. Give the float file "
            "that it was made from."
        )
    shape = flatbuffer.tensor_shape(inputs[0])
    signature = inputs[0].shapeSignature
    if signature is not None and len(signature) == len(shape):
        shape = tuple(-1 if open_ < 0 else size for open_, size in zip(signature, shape, strict=True))
    if len(shape) != 4 or shape[3] not in (-1, 3):
        raise ModelFileError(
            f"{path} takes values of the shape {list(shape)}; a classifier of pictures takes [1, height, width, "
            "3]."
        )
    height, width, channels = (None if size < 0 else size for size in shape[1:])
    return TfliteFile(path, graph, (height, width, channels))
