"""Other people's float graphs: fixed in shape, constants computed, and rewritten by rules that prove
themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from vitconv.conversion.rules import Rule
from vitconv.conversion.sketch import Sketch
from vitconv.foundation.cores import litert_threads
from vitconv.foundation.errors import ModelFileError
from vitconv.foundation.quiet import native_output
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

# In a probability, on the pictures that a rule is tried on: as far as a float32 file may be from its model.
LARGEST_ERROR = 1e-4

_NEVER_COMPUTED = ("RANDOM", "MULTINOMIAL", "VAR_HANDLE", "READ_VARIABLE", "CALL_ONCE", "HASHTABLE")


@dataclass(frozen=True)
class Applied:
    """A rule that found its pattern in so many `places`. `error` is the largest difference of a probability,
    before and after, on the pictures; a rule that was off by more than LARGEST_ERROR was not `kept`."""

    rule: str
    places: int
    error: float
    kept: bool

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def rewrite(graph: Graph, rules: Iterable[Rule], images: NDArray[np.uint8]) -> tuple[Graph, tuple[Applied, ...]]:
    """The float graph after each rule in turn, but for those that change its answers to the images, uint8
    [N, H, W, 3]."""
    expected = answers(graph, images)
    applied = []
    for rule in rules:
        for form in rule.forms:
            sketch = Sketch(graph)
            places = form(sketch)
            if not places:
                break
            changed = sketch.graph
            actual = answers(changed, images)
            error = float(np.abs(actual - expected).max()) if np.isfinite(actual).all() else float("inf")
            if error <= LARGEST_ERROR:
                graph = changed
                break
        if places:
            applied.append(Applied(rule.name, places, error, error <= LARGEST_ERROR))
    return graph, tuple(applied)


def answers(graph: Graph, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the float graph gives: uint8 [N, H, W, 3] → float32 [N, classes].

    Raises ModelFileError where LiteRT refuses it.
    """
    try:
        interpreter = _interpreter(graph, keep=False, xnnpack=True)
    except ModelFileError:  # what XNNPACK fails on, TFLite's own kernels may take
        interpreter = _interpreter(graph, keep=False)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for image in images:
        interpreter.set_tensor(source["index"], image[np.newaxis].astype(np.float32))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target["index"]).reshape(-1).copy())
    return np.array(rows, np.float32)


def values_of(
    graph: Graph, tensors: Sequence[int], images: NDArray[np.uint8]
) -> Iterator[list[NDArray[np.float32]]]:
    """What these tensors of the float graph hold, for each of the images, uint8 [N, H, W, 3]."""
    model = graph.draft()
    model.subgraphs[0].outputs = np.array(tensors, np.int32)
    model.signatureDefs = None
    interpreter = _interpreter(Graph(model, graph.name), keep=False, xnnpack=True)
    (source,) = interpreter.get_input_details()
    for image in images:
        interpreter.set_tensor(source["index"], image[np.newaxis].astype(np.float32))
        interpreter.invoke()
        yield [interpreter.get_tensor(tensor) for tensor in tensors]


def fixed(graph: Graph, input_shape: Sequence[int]) -> Graph:
    """The float graph for inputs of that shape alone: every tensor's shape is known, and what does not depend on
    the input is computed now.

    Records that other tools keep beside the graph are left out: signatures, and one that hides constants from the
    quantizer. Raises ModelFileError where LiteRT refuses the graph.
    """
    interpreter = _interpreter(graph, keep=True)
    source = interpreter.get_input_details()[0]
    with native_output():
        try:
            interpreter.resize_tensor_input(source["index"], list(input_shape), strict=False)
            interpreter.allocate_tensors()
            interpreter.set_tensor(source["index"], np.zeros(input_shape, source["dtype"]))
            interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(
                f"{graph.name} cannot be run on pictures of {list(input_shape)}: {error}"
            ) from error
    model = graph.draft()
    subgraph = model.subgraphs[0]
    names = flatbuffer.operator_names(model)
    known = {index for index, tensor in enumerate(subgraph.tensors) if flatbuffer.is_constant(model, tensor)}
    for index, tensor in enumerate(subgraph.tensors):
        tensor.shapeSignature = None
        if index not in known:
            try:
                tensor.shape = np.array(interpreter.get_tensor(index).shape, np.int32)
            except ValueError:  # nobody computes it
                continue
    kept = []
    for operator in subgraph.operators:
        name, inputs = names[operator.opcodeIndex], flatbuffer.inputs(operator)
        foldable = name == "SHAPE" or all(index in known for index in inputs)
        if foldable and not name.startswith(_NEVER_COMPUTED) and flatbuffer.outputs(operator):
            for output in flatbuffer.outputs(operator):
                values = np.ascontiguousarray(interpreter.get_tensor(output))
                subgraph.tensors[output].buffer = len(model.buffers)
                model.buffers.append(schema.BufferT(data=flatbuffer.data_vector(values.tobytes())))
                known.add(output)
        else:
            kept.append(operator)
    subgraph.operators = kept
    model.metadata = model.signatureDefs = None
    return Graph(model, graph.name)


def _interpreter(graph: Graph, keep: bool, xnnpack: bool = False) -> Any:
    """LiteRT's interpreter of the graph; `keep` has it keep every tensor."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with native_output() as printed:
        try:
            interpreter = Interpreter(
                model_content=graph.data,
                num_threads=litert_threads(),
                experimental_preserve_all_tensors=keep,
                experimental_op_resolver_type=kernels,
            )
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f"LiteRT refuses {graph.name}: {error}\n{printed()}".rstrip()) from error
    return interpreter
