"""What a network does to its pixels first, (pixel − mean) · scale, put into the weights of its first convolution.

In float that saves little. In integers each of these steps would be rounded to eight bits, while the stored pixel
is exact as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

_ARITHMETIC = ("ADD", "SUB", "MUL", "DIV")


@dataclass(frozen=True)
class _Scaling:
    """pixel · scale + shift, each of them one number or one a channel: float64 [1] or [channels]."""

    scale: NDArray[np.float64] = field(default_factory=lambda: np.ones(1))
    shift: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))

    def then(self, operator: str, constant: NDArray[np.float64], constant_first: bool) -> _Scaling | None:
        """This, then an operation with a constant, float64 [1] or [channels]; None where that is no scaling."""
        if operator == "ADD":
            return _Scaling(self.scale, self.shift + constant)
        if operator == "SUB" and constant_first:
            return _Scaling(-self.scale, constant - self.shift)
        if operator == "SUB":
            return _Scaling(self.scale, self.shift - constant)
        if operator == "MUL":
            return _Scaling(self.scale * constant, self.shift * constant)
        if constant_first or not constant.all():
            return None
        return _Scaling(self.scale / constant, self.shift / constant)

    def fits(self, kernel: NDArray[np.float64]) -> bool:
        """Whether the kernel reads every channel, as one of a grouped convolution doesn't."""
        return max(self.scale.size, self.shift.size) in (1, kernel.shape[-1])


def fold_pixel_scaling(graph: Graph) -> Graph:
    """The float graph with what stands between its only input and its first CONV_2D folded into that: sums,
    differences, products and quotients with constants of one value, or one a channel.

    A sum is only folded where the convolution pads nothing, for padded zeros stand for the mean. Anything else in
    this place is left as it is. (The converter itself folds a product before a convolution, but no sum.)
    """
    model = graph.draft()
    subgraph = model.subgraphs[0]
    found = _before_first_convolution(model, subgraph)
    if found is None:
        return graph
    scaling, operators, convolution = found
    _, kernel_index, *bias_index = flatbuffer.inputs(convolution)
    kernel = _constant(model, subgraph, kernel_index)  # [out, height, width, in]
    bias = _constant(model, subgraph, bias_index[0]) if bias_index else np.zeros(1)
    if kernel is None or bias is None or not scaling.fits(kernel):
        return graph
    if np.any(scaling.shift) and not _pads_nothing(subgraph, convolution):
        return graph
    with np.errstate(over="ignore"):
        new_kernel = (kernel * scaling.scale).astype(np.float32)
        new_bias = (bias + (kernel * scaling.shift).sum(axis=(1, 2, 3))).astype(np.float32)
    if not (np.isfinite(new_kernel).all() and np.isfinite(new_bias).all()):
        return graph
    weights = _put(model, kernel_index, new_kernel), _put(model, bias_index[0] if bias_index else None, new_bias)
    convolution.inputs = np.array([subgraph.inputs[0], *weights], np.int32)
    subgraph.operators = [kept for kept in subgraph.operators if kept not in operators]
    return Graph(model, graph.name)


def _before_first_convolution(model: Any, subgraph: Any) -> tuple[_Scaling, list[Any], Any] | None:
    """What happens to the pixels, the operators that do it, and the convolution that reads what they give; None
    where nothing happens to them, or something else."""
    if subgraph.inputs is None or len(subgraph.inputs) != 1:
        return None
    names, readers = flatbuffer.operator_names(model), flatbuffer.readers(subgraph)
    place = int(subgraph.inputs[0])
    scaling = _Scaling()
    operators: list[Any] = []
    while len(readers.get(place, ())) == 1 and place not in _outputs(subgraph):
        (operator,) = readers[place]
        if names[operator.opcodeIndex] == "CONV_2D":
            pixels, *weights = flatbuffer.inputs(operator)
            known = pixels == place and weights and operator.builtinOptions is not None
            return (scaling, operators, operator) if known and operators else None
        following = _with(model, subgraph, scaling, operator, names[operator.opcodeIndex], place)
        if following is None:
            return None
        scaling = following
        operators.append(operator)
        place = flatbuffer.outputs(operator)[0]
    return None


def _with(model: Any, subgraph: Any, scaling: _Scaling, operator: Any, name: str, place: int) -> _Scaling | None:
    """The scaling, and then the operator that reads `place`; None where that is none."""
    operands, options = flatbuffer.inputs(operator), operator.builtinOptions
    if name not in _ARITHMETIC or len(operands) != 2 or options is None or options.fusedActivationFunction:
        return None
    constant_first = operands[1] == place
    constant = _constant(model, subgraph, operands[0 if constant_first else 1])
    pixels, given = (
        flatbuffer.tensor_shape(subgraph.tensors[index]) for index in (place, flatbuffer.outputs(operator)[0])
    )
    if constant is None or given != pixels:  # a constant may have made more of them
        return None
    # A mean image, with a value of its own for each pixel, fits no kernel that all pixels share.
    if constant.size > 1 and constant.size != constant.shape[-1]:
        return None
    return scaling.then(name, constant.reshape(-1), constant_first)


def _pads_nothing(subgraph: Any, convolution: Any) -> bool:
    """Whether every value under the kernel is a pixel, wherever it stands."""
    options = convolution.builtinOptions
    if options.padding == schema.Padding.VALID:
        return True
    shapes = [flatbuffer.tensor_shape(subgraph.tensors[index]) for index in flatbuffer.inputs(convolution)[:2]]
    steps = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
    for size, kernel, stride, dilation in zip(*(shape[1:3] for shape in shapes), *steps, strict=True):
        covered = (math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1
        if covered > size:
            return False
    return True


def _outputs(subgraph: Any) -> set[int]:
    return set() if subgraph.outputs is None else {int(index) for index in subgraph.outputs}


def _constant(model: Any, subgraph: Any, index: int) -> NDArray[np.float64] | None:
    """A float32 constant's values; None for anything else."""
    tensor = subgraph.tensors[index]
    if not flatbuffer.is_constant(model, tensor) or flatbuffer.tensor_dtype(tensor) != "float32":
        return None
    if tensor.sparsity is not None:
        return None
    values = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32)
    return values.reshape(flatbuffer.tensor_shape(tensor)).astype(np.float64)


def _put(model: Any, index: int | None, values: NDArray[np.float32]) -> int:
    """The values as a constant of the main subgraph, in a buffer of its own, for others may share the old one: in
    the place of the one of that index where nobody else reads that, else a new one. Returns its index."""
    subgraph = model.subgraphs[0]
    if index is None or len(flatbuffer.readers(subgraph)[index]) > 1 or index in _outputs(subgraph):
        shape = np.array(values.shape, np.int32)
        subgraph.tensors.append(schema.TensorT(shape=shape, type=schema.TensorType.FLOAT32))
        index = len(subgraph.tensors) - 1
    subgraph.tensors[index].buffer = len(model.buffers)
    model.buffers.append(schema.BufferT(data=flatbuffer.data_vector(values.tobytes())))
    return index
