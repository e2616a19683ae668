"""A float graph and the range of every value that flows through it: measured over images, and written into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitconv import flatbuffer
from vitconv.datasets import Progress
from vitconv.errors import InputError


@dataclass(frozen=True)
class TensorRange:
    """The smallest and the largest value that a tensor of the float graph held over all images."""

    name: str
    min: float
    max: float


def measure_ranges(graph: bytes, images: np.ndarray, progress: Progress | None = None) -> tuple[TensorRange, ...]:
    """The range of every float activation over uint8 images [N, H, W, 3], in the order of the graph's tensors.

    The input's range is 0–255 whatever the images hold, so that a stored pixel is the pixel itself.
    Raises InputError where an activation is NaN or infinite.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=graph,
        num_threads=2,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    activations = _activations(flatbuffer.parse(graph, "the float graph"))
    low = dict.fromkeys(activations, math.inf)
    high = dict.fromkeys(activations, -math.inf)
    for done, image in enumerate(images):
        if progress:
            progress("calibrating", done, len(images))
        interpreter.set_tensor(source["index"], image[np.newaxis].astype(np.float32))
        interpreter.invoke()
        for index, name in activations.items():
            values = interpreter.get_tensor(index)
            smallest, largest = float(values.min()), float(values.max())
            if not math.isfinite(largest - smallest):
                raise InputError(
                    f"the activation {name} reaches from {smallest} to {largest} on a calibration image: "
                    "the checkpoint's weights are of no use. Train again."
                )
            low[index], high[index] = min(low[index], smallest), max(high[index], largest)
    if progress:
        progress("calibrating", len(images), len(images))
    low[source["index"]], high[source["index"]] = 0.0, 255.0
    return tuple(TensorRange(name, low[index], high[index]) for index, name in activations.items())


def with_ranges(graph: bytes, ranges: Sequence[TensorRange]) -> bytes:
    """The float graph with the ranges in its tensors' quantization records, as the quantizer wants them.

    Raises InputError where they are not those of this graph's activations, by name and in order.
    """
    from ai_edge_litert.schema_py_generated import QuantizationParametersT

    model = flatbuffer.parse(graph, "the float graph")
    activations = _activations(model)
    if [tensor.name for tensor in ranges] != list(activations.values()):
        raise InputError(
            f"{len(ranges)} ranges do not fit the {len(activations)} activations of the graph, or not by name. "
            "Calibrate anew."
        )
    tensors = model.subgraphs[0].tensors
    for index, tensor_range in zip(activations, ranges, strict=True):
        tensors[index].quantization = QuantizationParametersT()
        tensors[index].quantization.min = [tensor_range.min]
        tensors[index].quantization.max = [tensor_range.max]
    return flatbuffer.serialize(model)


def _activations(model: Any) -> dict[int, str]:
    """Index → name of the float tensors that are computed (or are the input), in the graph's order."""
    (subgraph,) = model.subgraphs
    computed = set(subgraph.inputs)
    for operator in subgraph.operators:
        computed.update(operator.outputs)
    return {
        index: flatbuffer.text(tensor.name)
        for index, tensor in enumerate(subgraph.tensors)
        if index in computed and flatbuffer.tensor_dtype(tensor) == "float32"
    }
