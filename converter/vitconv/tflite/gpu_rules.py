"""What phones' GPUs take of a file: the rules of TensorFlow Lite 2.16.1's GPU delegate, as data.

The facts are those of TensorFlow's `lite/tools/versioning/gpu_compatibility.cc` and of `delegates/gpu/common`, and
were checked against what 2.16.1's own library for Android says of single operators: see tests/tflite/gpu_cases.py.
The sources of later releases have other rules (they take SPLIT, for example).

What an app that adds this delegate gets: operations that it refuses run on the processor, and each change of sides
costs a copy. Over some it fails altogether, and the app has to do without it. And one it computes wrongly:
LEAKY_RELU(x) is x, and slope·x where x is negative. The delegate (delegates/gpu/common/tasks/relu.cc) computes
max(x, min(slope·x, 0)), and LiteRT's accelerator the same. The two agree for slopes from 0 to 1 only: with −1, by
which our integer files take |x|, GPUs answer max(x, 0).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import Operation, operations

Effect = Literal["refused", "fails", "wrong"]


@dataclass(frozen=True)
class NotForGpus:
    """An operation that the delegate does not compute right: its place in the main graph, its operator, the layer
    it belongs to, and why.

    effect: "refused", it runs on the processor; "fails", the delegate fails over the whole file; "wrong", it is
    computed, and something else comes out.
    """

    index: int
    operator: str
    layer: str
    reason: str
    effect: Effect = "refused"


@dataclass(frozen=True)
class _Tensor:
    index: int
    shape: tuple[int, ...]
    dtype: str
    constant: bool


@dataclass(frozen=True)
class _Node:
    """An operation, as rules see it. given: whether an input is the graph's own; last: whether a result is."""

    version: int
    inputs: tuple[_Tensor, ...]
    outputs: tuple[_Tensor, ...]
    options: Any
    given: bool
    last: bool

    @property
    def computed(self) -> int:
        """How many inputs are no constants."""
        return sum(not tensor.constant for tensor in self.inputs)

    def option(self, name: str, otherwise: Any = 0) -> Any:
        return getattr(self.options, name, otherwise)


# A rule says what is wrong with an operation, or nothing.
_Rule = Callable[[_Node], str | None]

_MAX_RANK = 4
_TYPES = frozenset({"float32", "float16", "int8", "uint8"})


def _one_computed(node: _Node) -> str | None:
    return None if node.computed == 1 else f"it takes one computed input, not {node.computed}"


def _two_inputs(node: _Node) -> str | None:
    return None if len(node.inputs) == 2 else f"it takes two inputs, not {len(node.inputs)}"


def _one_or_two_computed(node: _Node) -> str | None:
    constants = len(node.inputs) - node.computed
    return None if (node.computed, constants) in ((2, 0), (1, 1)) else "it takes two inputs, one of them computed"


def _constant_axes(node: _Node) -> str | None:
    axes = node.inputs[1]
    return None if axes.constant and axes.dtype == "int32" else "it takes axes that are constants of type int32"


def _three_or_four_dimensions(node: _Node) -> str | None:
    rank = len(node.inputs[0].shape)
    return None if rank in (3, 4) else f"it takes tensors of 3 or 4 dimensions, not {rank}"


def _option(name: str, allowed: tuple[Any, ...], words: str) -> _Rule:
    def rule(node: _Node) -> str | None:
        return None if node.option(name, allowed[0]) in allowed else words

    return rule


def _one_is_the_larger(node: _Node) -> str | None:
    first, second = (tensor.shape for tensor in node.inputs)
    if len(first) == len(second):
        sizes = list(zip(first, second, strict=True))
        if any(one < other for one, other in sizes) and any(one > other for one, other in sizes):
            return f"it does not spread both inputs, {_shape(first)} and {_shape(second)}"
    return None


def _one_channel_where_many_come_out(node: _Node) -> str | None:
    channels, many = node.inputs[0].shape[-1], node.option("depthMultiplier", 1)
    return None if many == 1 or channels == 1 else f"it takes a depth multiplier of 1, not {many}"


def _two_computed_weights_at_most(node: _Node) -> str | None:
    return None if 1 <= node.computed <= 2 else f"it takes one or two computed inputs, not {node.computed}"


def _computed_first(node: _Node) -> str | None:
    return "it takes no constant in the place of its input" if node.inputs[0].constant else None


def _dimensions_stay(node: _Node) -> str | None:
    kept = len(node.inputs[0].shape) == len(node.outputs[0].shape)
    return None if kept or not node.option("keepNumDims", False) else "it keeps no other number of dimensions"


def _row_of_indices(node: _Node) -> str | None:
    indices = node.inputs[1]
    if node.inputs[0].dtype == "int32":
        return "it takes no int32 tensor"
    if len(indices.shape) != 1 or indices.dtype != "int32":
        return "it takes indices in one dimension, of type int32"
    return None


def _pads_of_maps(node: _Node) -> str | None:
    pads = node.inputs[1].shape
    return None if pads in ((3, 2), (4, 2)) else f"it pads tensors of 3 or 4 dimensions, not of {pads[0]}"


def _known_cast(node: _Node) -> str | None:
    source, target = node.inputs[0].dtype, node.outputs[0].dtype
    floats, numbers = ("float16", "float32"), ("float32", "int32")
    if source == "bool" and target in floats:
        return "it takes no bool that the graph is given or gives" if node.given or node.last else None
    known = (source in floats and target == "bool") or (source in numbers and target in numbers)
    return None if known else f"it does not make {target} of {source}"


def _not_the_result(node: _Node) -> str | None:
    return "it does not give truth values as the graph's result" if node.last else None


def _choice(node: _Node) -> str | None:
    result = node.outputs[0].shape
    for tensor in node.inputs[1:]:
        if tensor.shape != result and int(np.prod(tensor.shape)) > 1:
            return f"it does not spread {_shape(tensor.shape)} over {_shape(result)}"
    return None


def _not_int16(node: _Node) -> str | None:
    return "it takes no int16" if node.inputs[0].dtype == "int16" else None


def _block(node: _Node) -> str | None:
    size = node.option("blockSize", 2)
    return None if size > 1 else f"it takes blocks of more than 1 pixel, not {size}"


_NO_MASKS = tuple(
    _option(f"{name}Mask", (0,), f"it takes no {words} mask")
    for name, words in (("ellipsis", "ellipsis"), ("newAxis", "new axis"), ("shrinkAxis", "shrink axis"))
)
_ACTIVATION = _option("fusedActivationFunction", (0, 1, 2, 3, 4), "it knows no fused SIGN_BIT")
_REFLECTING = _option("mode", (0,), "it pads by reflection only")
_PLAIN_WEIGHTS = _option("weightsFormat", (0,), "it takes weights in their usual order only")


def _each(names: str, *rules: _Rule) -> dict[str, tuple[_Rule, ...]]:
    return dict.fromkeys(names.split(), rules)


_COMPARISONS = "EQUAL NOT_EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL"

# Every operator that the delegate knows, and what an operation of it must keep to.
_RULES: dict[str, tuple[_Rule, ...]] = {
    **_each(
        "ABS COS ELU EXP FLOOR GELU LOG LOGISTIC NEG RSQRT SIGN SIN SQRT SQUARE TANH HARD_SWISH QUANTIZE RESHAPE "
        "TILE TRANSPOSE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR",
        _one_computed,
    ),
    **_each("RELU RELU6 RELU_N1_TO_1 LEAKY_RELU PRELU CONCATENATION PACK UNPACK ONE_HOT CUMSUM DENSIFY"),
    **_each("ADD ADD_N", _two_inputs),
    **_each("MUL", _two_inputs, _one_is_the_larger, _ACTIVATION),
    **_each(
        "SUB DIV MAXIMUM MINIMUM POW SQUARED_DIFFERENCE FLOOR_DIV FLOOR_MOD LOGICAL_AND",
        _one_or_two_computed,
        _ACTIVATION,
    ),
    **_each(_COMPARISONS, _one_or_two_computed, _not_the_result),
    **_each("MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD", _one_computed, _constant_axes),
    **_each("SOFTMAX", _option("beta", (1.0,), "it takes a beta of 1 only")),
    **_each("CONV_2D TRANSPOSE_CONV", _two_computed_weights_at_most, _ACTIVATION),
    **_each("DEPTHWISE_CONV_2D", _two_computed_weights_at_most, _one_channel_where_many_come_out, _ACTIVATION),
    **_each("AVERAGE_POOL_2D MAX_POOL_2D", _one_computed, _ACTIVATION),
    **_each("FULLY_CONNECTED", _PLAIN_WEIGHTS, _computed_first, _two_computed_weights_at_most, _dimensions_stay),
    **_each("BATCH_MATMUL", _two_inputs),
    **_each("SLICE", _three_or_four_dimensions),
    **_each("STRIDED_SLICE", *_NO_MASKS, _three_or_four_dimensions),
    **_each("PAD PADV2", _one_computed, _pads_of_maps),
    **_each("MIRROR_PAD", _one_computed, _REFLECTING, _pads_of_maps),
    **_each("GATHER", _row_of_indices),
    **_each("DEPTH_TO_SPACE SPACE_TO_DEPTH", _one_computed, _block),
    **_each("SELECT SELECT_V2", _choice),
    **_each("CAST", _one_computed, _known_cast),
    **_each("DEQUANTIZE", _not_int16),
}

# The newest version of an operator that the delegate takes; of others it takes all that the release has.
_NEWEST = """
1  GATHER SELECT_V2
2  ABS LOGISTIC RSQRT TANH RELU RELU6 SOFTMAX ADD SUB MAXIMUM MINIMUM FLOOR_DIV CONCATENATION AVERAGE_POOL_2D
2  MAX_POOL_2D SLICE PAD PADV2 MIRROR_PAD QUANTIZE
3  MUL TRANSPOSE_CONV RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR DEQUANTIZE
4  TRANSPOSE STRIDED_SLICE
6  CONV_2D DEPTHWISE_CONV_2D
9  FULLY_CONNECTED
"""

# What the delegate fails over where both inputs are one tensor.
_NOT_TWICE = frozenset({"SUB", "DIV", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "BATCH_MATMUL"})

# The types of computed tensors that operators take and give beside _TYPES.
_MORE_INPUTS = {
    "CAST": {"bool", "int32"},
    "GATHER": {"int32"},
    "ONE_HOT": {"int32"},
    "SELECT": {"bool"},
    "SELECT_V2": {"bool"},
    "LOGICAL_AND": {"bool"},
}
_VERSIONS = {name: int(line.split()[0]) for line in _NEWEST.strip().split("\n") for name in line.split()[1:]}
_MORE_OUTPUTS = {
    "CAST": {"bool", "int32"},
    **{name: {"bool"} for name in (*_COMPARISONS.split(), "LOGICAL_AND")},
}


def not_for_gpus(graph: Graph) -> Iterator[NotForGpus]:
    """The operations of a file's main graph that it refuses, fails over, or computes wrongly, in order."""
    subgraph = graph.model.subgraphs[0]
    weights = from_constants(graph)
    for operation in operations(graph):
        node = _node(graph, subgraph, operation, weights)
        effect: Effect = "refused"
        reason = _refusal(operation.operator, node)
        if not reason and (reason := _failure(operation.operator, node)):
            effect = "fails"
        if not reason and (reason := _fault(operation.operator, node)):
            effect = "wrong"
        if reason:
            yield NotForGpus(operation.index, operation.operator, operation.layer, reason, effect)


def from_constants(graph: Graph) -> dict[int, int]:
    """The tensors that operations compute from constants alone, such as weights made wider by DEQUANTIZE, and each
    one's operation, by its place. Runtimes count them as constants."""
    found: dict[int, int] = {}
    for operation in operations(graph):
        if all(tensor in found for tensor in operation.activations):
            found.update(dict.fromkeys(operation.outputs, operation.index))
    return found


def _node(graph: Graph, subgraph: Any, operation: Operation, weights: Container[int]) -> _Node:
    def tensor(index: int) -> _Tensor:
        one = subgraph.tensors[index]
        constant = flatbuffer.is_constant(graph.model, one) or index in weights
        return _Tensor(index, flatbuffer.tensor_shape(one), flatbuffer.tensor_dtype(one), constant)

    operator = subgraph.operators[operation.index]
    given, results = set(map(int, subgraph.inputs)), set(map(int, subgraph.outputs))
    inputs = tuple(tensor(index) for index in flatbuffer.inputs(operator))
    outputs = tuple(tensor(index) for index in operation.outputs)
    return _Node(
        int(graph.model.operatorCodes[operator.opcodeIndex].version),
        inputs,
        outputs,
        operator.builtinOptions,
        any(one.index in given for one in inputs),
        any(one.index in results for one in outputs),
    )


def _refusal(operator: str, node: _Node) -> str | None:
    if operator not in _RULES:
        return "the delegate does not know it"
    if node.version > _VERSIONS.get(operator, node.version):
        return f"it takes versions up to {_VERSIONS[operator]}, not {node.version}"
    try:
        for rule in _RULES[operator]:
            if reason := rule(node):
                return reason
    except IndexError:
        return "it lacks an input, or one has too few dimensions"
    for tensors, more in ((node.inputs, _MORE_INPUTS), (node.outputs, _MORE_OUTPUTS)):
        for tensor in tensors:
            if tensor.constant:
                continue
            if len(tensor.shape) > _MAX_RANK:
                return f"it takes tensors of up to {_MAX_RANK} dimensions, not {len(tensor.shape)}"
            if tensor.dtype not in _TYPES | more.get(operator, set()):
                return f"it does not take {tensor.dtype}"
    return None


def _failure(operator: str, node: _Node) -> str | None:
    indices = [tensor.index for tensor in node.inputs]
    if operator in _NOT_TWICE and len(set(indices)) < len(indices):
        return "it does not take one tensor twice, and fails over the whole file"
    if operator == "BATCH_MATMUL":
        first, second = node.inputs
        if first.constant or (second.constant and len(second.shape) != 2):
            return "it multiplies by a constant of 2 dimensions only, and fails over the whole file"
    return None


def _fault(operator: str, node: _Node) -> str | None:
    slope = float(node.option("alpha", 0.0))
    if operator == "LEAKY_RELU" and not 0 <= slope <= 1:
        return f"GPUs compute it right for slopes from 0 to 1 only, and its slope is {slope:g}"
    return None


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one number"
