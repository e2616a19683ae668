"""A float graph and the range of every value that flows through it: measured over images, and written into it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from vitconv.foundation.cores import litert_threads
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.foundation.progress import Progress
from vitconv.quantization.histograms import Function, Histogram, Method
from vitconv.quantization.output_steps import loaded
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

DEFAULT_METHOD: Method = "mse"

# int8's codes reach from −128 to 127; a range in this proportion has its zero point at 0.
_MOST_NEGATIVE, _MOST_POSITIVE = 128, 127
# Operators that move values without changing them: input and output have the same scale.
_VIEWS = ("RESHAPE", "TRANSPOSE")
# What an activation becomes, by the operators that read it: swish is x · sigmoid(x). Of logits the root of what
# softmax makes of them, but for its divisor: probabilities differ by their roots (Hellinger's distance).
_THEN: dict[tuple[str, ...], Function] = {
    ("LOGISTIC", "MUL"): lambda x: x * (0.5 + 0.5 * np.tanh(x / 2)),  # exp(-x) may be beyond float32
    ("SOFTMAX",): lambda x: np.exp(x / 2),
    ("ELU",): lambda x: np.exp(np.minimum(x, 0)),
}
_ANSWERS_RANK = 2  # [1, classes]


@dataclass(frozen=True)
class TensorRange:
    """A tensor of the float graph: `min` and `max` are the values that eight bits have to span, `seen_min` and
    `seen_max` the smallest and the largest that it held over all images; what lies between is clipped."""

    name: str
    min: float
    max: float
    seen_min: float
    seen_max: float


def measure_ranges(
    graph: Graph, images: np.ndarray, progress: Progress | None = None, method: Method = DEFAULT_METHOD
) -> tuple[TensorRange, ...]:
    """The range of every float activation over uint8 images [N, H, W, 3], in the order of the graph's tensors.

    The input's range is 0–255 whatever the images hold, so that a stored pixel is the pixel itself.
    Raises InputError where an activation is NaN or infinite.
    """
    activations = _activations(graph.model)
    threads = litert_threads()  # that run the graph, and that count its values
    interpreter = loaded(_all_shown(graph, activations).data, threads)
    source = _only_input(interpreter, graph)
    functions = next_functions(graph.model)
    del activations[source["index"]]
    histograms = {index: Histogram() for index in activations}

    def count(indices: Sequence[int]) -> None:
        for index in indices:
            try:
                # Where LiteRT has it: to copy it first takes as long as to count it.
                histograms[index].add(interpreter.tensor(index)())
            except ValueError as error:
                raise InputError(
                    f"the activation {activations[index]} {error} on a calibration image, so the checkpoint's "
                    "weights are broken. Train again."
                ) from None

    shares = [list(activations)[start::threads] for start in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        for done, image in enumerate(images):
            if progress:
                progress("calibrating", done, len(images))
            interpreter.set_tensor(source["index"], image[np.newaxis].astype(np.float32))
            interpreter.invoke()
            list(pool.map(count, shares))
    if progress:
        progress("calibrating", len(images), len(images))
    ranges = {source["index"]: TensorRange(source["name"], 0.0, 255.0, 0.0, 255.0)}
    for index, histogram in histograms.items():
        low, high = histogram.range(method, functions.get(index, lambda x: x))
        ranges[index] = TensorRange(activations[index], low, high, histogram.min, histogram.max)
    return tuple(ranges[index] for index in sorted(ranges))


def with_ranges(graph: Graph, ranges: Sequence[TensorRange]) -> Graph:
    """The float graph with the ranges in its tensors' quantization records, as the quantizer wants them.

    The second operand of a product of two activations gets a range that is symmetric about 0: only with the zero
    point 0 there does XNNPACK take the product, and TFLite's own kernel is eight times slower.
    Raises InputError where they are not those of this graph's activations, by name and in order.
    """
    model = graph.draft()
    activations = _activations(model)
    if [tensor.name for tensor in ranges] != list(activations.values()):
        raise InputError(
            f"the {len(ranges)} ranges do not match the {len(activations)} activations of the graph in number or "
            "in names. Calibrate again."
        )
    tensors = model.subgraphs[0].tensors
    symmetric = _second_operands(model)
    for index, tensor_range in zip(activations, ranges, strict=True):
        low, high = tensor_range.min, tensor_range.max
        if index in symmetric:
            high = max(-low, high)
            low = -high * _MOST_NEGATIVE / _MOST_POSITIVE
        tensors[index].quantization = schema.QuantizationParametersT(min=[low], max=[high])
    return Graph(model, graph.name)


def structure_digest(graph: Graph) -> str:
    """SHA-256 (hex) over a float graph's operators, in order, and the names and shapes of what they compute.

    The weights are left out: they say which checkpoint it is, and the last bits of those that the converter folds
    together differ from one processor to another.
    """
    main, *others = graph.model.subgraphs
    names = flatbuffer.operator_names(graph.model)
    # What a model with control flow has beside its main graph stands behind that, a list for each.
    rows = [*_rows(main, names), *(list(_rows(other, names)) for other in others)]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _rows(subgraph: Any, names: Sequence[str]) -> Iterator[list[Any]]:
    for operator in subgraph.operators or ():
        computed = [subgraph.tensors[index] for index in flatbuffer.outputs(operator)]
        yield [
            names[operator.opcodeIndex],
            [[flatbuffer.text(tensor.name), flatbuffer.tensor_shape(tensor)] for tensor in computed],
        ]


def _all_shown(graph: Graph, activations: Collection[int]) -> Graph:
    """The graph with all these activations among its outputs. So XNNPACK writes them down. LiteRT keeps them
    otherwise only without it, and MobileViT at 256 × 256 takes eight times as long."""
    model = graph.draft()
    main = model.subgraphs[0]
    inputs, outputs = ({int(index) for index in found} for found in (main.inputs, main.outputs))
    main.outputs = np.array(sorted((set(activations) - inputs) | outputs), np.int32)
    model.signatureDefs = None
    return Graph(model, graph.name)


def _only_input(interpreter: Any, graph: Graph) -> Any:
    """LiteRT's description of the graph's input. Raises ModelFileError where it isn't one of float pixels."""
    sources = interpreter.get_input_details()
    if len(sources) == 1 and sources[0]["dtype"] == np.float32:
        return sources[0]
    kinds = ", ".join(f"{source['shape'].tolist()} {np.dtype(source['dtype'])}" for source in sources) or "nothing"
    raise ModelFileError(
        f"{graph.name} takes {kinds}; ranges are measured on a graph that takes float32 pixels [1, H, W, 3]. "
        "Give a float classifier of images."
    )


def next_functions(model: Any) -> dict[int, Function]:
    """Tensor → what it becomes, where it is one of `_THEN`.

    The scores of an attention map are no logits of answers: small weights count there together. And what gates
    another value, y · sigmoid(x), is no swish.
    """
    names = flatbuffer.operator_names(model)
    main = model.subgraphs[0]
    found = {}
    for tensor, operators in flatbuffer.readers(main).items():
        kinds = tuple(sorted(names[operator.opcodeIndex] for operator in operators))
        if kinds == ("SOFTMAX",) and len(flatbuffer.tensor_shape(main.tensors[tensor])) > _ANSWERS_RANK:
            continue
        if kinds == ("LOGISTIC", "MUL"):
            operands = {index for operator in operators for index in flatbuffer.inputs(operator)}
            computed = {index for operator in operators for index in flatbuffer.outputs(operator)}
            if not operands & computed:
                continue
        if kinds in _THEN:
            found[tensor] = _THEN[kinds]
    return found


def _second_operands(model: Any) -> set[int]:
    """Tensors that are the second operand of a BATCH_MATMUL, and those they are only another view of."""
    operators = model.subgraphs[0].operators or ()
    names = flatbuffer.operator_names(model)
    producers = {output: operator for operator in operators for output in flatbuffer.outputs(operator)}
    found: set[int] = set()
    for operator in operators:
        if names[operator.opcodeIndex] == "BATCH_MATMUL":
            tensor = flatbuffer.inputs(operator)[1]
            found.add(tensor)
            while tensor in producers and names[producers[tensor].opcodeIndex] in _VIEWS:
                tensor = flatbuffer.inputs(producers[tensor])[0]
                found.add(tensor)
    return found


def _activations(model: Any) -> dict[int, str]:
    """Index → name of the main subgraph's float tensors that are computed (or are the input), in the graph's
    order."""
    subgraph = model.subgraphs[0]
    computed = set() if subgraph.inputs is None else {int(index) for index in subgraph.inputs}
    for operator in subgraph.operators or ():
        computed.update(flatbuffer.outputs(operator))
    return {
        index: flatbuffer.text(tensor.name)
        for index, tensor in enumerate(subgraph.tensors or ())
        if index in computed and flatbuffer.tensor_dtype(tensor) == "float32" and _has_values(tensor)
    }


def _has_values(tensor: Any) -> bool:
    return 0 not in flatbuffer.tensor_shape(tensor)
