"""Which layer of the Keras model an operation of its graph belongs to.

The converter names a tensor after what computed it: `mobilevit_xxs_1/stage0.residual0.expand_1/convolution`, that
is model, layer and operation, each with the number of its call, and several of these with `;` between them where
it made one operation of several. The files here have short names in their place:
`stage0.residual0.expand|CONV_2D`. They say the operator of the file, and not the operation that Keras traced, for
that has other names in other versions of Keras, and calibrations go by a graph's names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

_CALL = re.compile(r"_\d+$")
_BAR = "|"
_NORM = "norm"  # the scope of a layer that normalises and then does something else, which counts as two
_OUTPUT = "output"  # the converter's own last operations, which give the result


@dataclass(frozen=True)
class Operation:
    """One operation of a graph: its place, the operator's name, the tensors it computes (several for SPLIT), the
    first one's name, its layer, and the indices of the tensors it reads that are no constants. `has_weights`: it
    also reads a kernel."""

    index: int
    operator: str
    outputs: tuple[int, ...]
    tensor: str
    layer: str
    activations: tuple[int, ...]
    has_weights: bool

    @property
    def output(self) -> int:
        """The first tensor that it computes."""
        return self.outputs[0]


def layer_of(tensor: str) -> str:
    """Of a short name: `stage0.residual0.add|ADD` → `stage0.residual0.add`."""
    return named_layer(tensor) or _OUTPUT


def named_layer(tensor: str) -> str | None:
    """`layer_of`, and None for a name that tells no layer."""
    layer, bar, _ = tensor.partition(_BAR)
    return layer if bar else None


def layer_in(tensor: str, has_weights: bool, nested: bool = False) -> str | None:
    """Of a name of the converter's: `model_1/stage0.residual0.add_1/Add;…` → `stage0.residual0.add`; None for a
    name that is short already, or tells no layer.

    Of several names the first one counts; but an operation with a kernel has what was folded into the kernel, such
    as batch normalisation, first, and the layer whose kernel it is last. With `nested`, for other people's models,
    all scopes tell it: `model_1/backbone_1/dense_1/MatMul` → `backbone.dense`; and what is in none is called
    after the operation.
    """
    names = tensor.split(";")
    if nested:
        if _BAR in tensor:
            return None
        scopes = names[-1 if has_weights else 0].split("/")
        return ".".join(_CALL.sub("", scope) for scope in scopes[1:-1] or scopes[1:]) or None
    parts = names[-1 if has_weights else 0].split("/", 2)
    if len(parts) < 3 or _BAR in tensor:
        return None
    scope, slash, _ = parts[2].partition("/")
    inner = f".{_NORM}" if slash and _CALL.sub("", scope) == _NORM else ""
    return _CALL.sub("", parts[1]) + inner


def short_name(layer: str, operator: str, taken: Collection[str]) -> str:
    """The layer and the operator: `stage0.residual0.add|ADD`; `stage0.residual0.add|ADD_1` where that is taken."""
    name = f"{layer}{_BAR}{operator}"
    numbered = (f"{name}_{number}" for number in count(1))
    return next(name for name in chain([name], numbered) if name not in taken)


def inner_name(tensor: str) -> str:
    """A short name without the operation: `stage0.residual0.add|`; other names as they are."""
    layer, bar, _ = tensor.partition(_BAR)
    return layer + bar


def operations(graph: Graph) -> Iterator[Operation]:
    """The operations of a graph's main subgraph that compute something, in order."""
    model = graph.model
    subgraph = model.subgraphs[0]
    names = flatbuffer.operator_names(model)
    for index, operator in enumerate(subgraph.operators or ()):
        outputs = flatbuffer.outputs(operator)
        if not outputs:
            continue
        inputs = flatbuffer.inputs(operator)
        name = flatbuffer.text(subgraph.tensors[outputs[0]].name)
        constants = [tensor for tensor in inputs if flatbuffer.is_constant(model, subgraph.tensors[tensor])]
        yield Operation(
            index,
            names[operator.opcodeIndex],
            tuple(outputs),
            name,
            layer_of(name),
            tuple(tensor for tensor in inputs if tensor not in constants),
            has_kernel(model, subgraph, operator),
        )


def has_kernel(model: Any, subgraph: Any, operator: Any) -> bool:
    """Whether an OperatorT reads a kernel: a float constant of at least two dimensions that are not 1."""
    return any(
        flatbuffer.is_constant(model, tensor) and _is_kernel(tensor)
        for tensor in (subgraph.tensors[index] for index in flatbuffer.inputs(operator))
    )


def _is_kernel(tensor: Any) -> bool:
    sizes = [size for size in flatbuffer.tensor_shape(tensor) if size > 1]
    return len(sizes) > 1 and flatbuffer.tensor_dtype(tensor) == "float32"
