"""Which layer of the Keras model an operation of its graph belongs to.

The converter names a tensor after what computed it: `mobilevit_xxs_1/stage0.residual0.expand_1/convolution`, that
is model, layer and operation, each with the number of its call, and several of these with `;` between them where
it made one operation of several.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vitconv import flatbuffer

_CALL = re.compile(r"_\d+$")
_OUTPUT = "output"  # the converter's own last operations, which give the result


@dataclass(frozen=True)
class Operation:
    """One operation of a graph: its place, the operator's name, the tensor it computes, its layer, and the indices
    of the tensors it reads that are no constants. `has_weights`: it also reads a kernel."""

    index: int
    operator: str
    output: int
    tensor: str
    layer: str
    activations: tuple[int, ...]
    has_weights: bool


def layer_of(tensor: str, has_weights: bool) -> str:
    """`model_1/stage0.residual0.add_1/Add;…` → `stage0.residual0.add`.

    Of several names the first one counts; but an operation with a kernel has what was folded into the kernel, such
    as batch normalisation, first, and the layer whose kernel it is last.
    """
    names = tensor.split(";")
    parts = names[-1 if has_weights else 0].split("/")
    return _CALL.sub("", parts[1]) if len(parts) > 1 else _OUTPUT


def short_name(tensor: str) -> str:
    """A tensor's name without those of its operations that do not tell its layer: all but the first and the last,
    and the last, too, where both are of one layer. `layer_of` says the same of both."""
    names = tensor.split(";")
    of_one_layer = layer_of(names[0], False) == layer_of(names[-1], False)
    return names[0] if of_one_layer else f"{names[0]};{names[-1]}"


def operations(graph: bytes) -> Iterator[Operation]:
    """The operations of a float graph's flatbuffer, in order."""
    model = flatbuffer.parse(graph, "the float graph")
    (subgraph,) = model.subgraphs
    for index, operator in enumerate(subgraph.operators):
        output = int(operator.outputs[0])
        inputs = tuple(int(tensor) for tensor in operator.inputs if tensor >= 0)
        name = flatbuffer.text(subgraph.tensors[output].name)
        constants = [tensor for tensor in inputs if flatbuffer.is_constant(model, subgraph.tensors[tensor])]
        has_weights = any(_is_kernel(subgraph.tensors[tensor]) for tensor in constants)
        yield Operation(
            index,
            flatbuffer.operator_name(model.operatorCodes[operator.opcodeIndex]),
            output,
            name,
            layer_of(name, has_weights),
            tuple(tensor for tensor in inputs if tensor not in constants),
            has_weights,
        )


def _is_kernel(tensor: Any) -> bool:
    """Whether a constant is a float kernel: of at least two dimensions that are not 1."""
    sizes = [size for size in flatbuffer.tensor_shape(tensor) if size > 1]
    return len(sizes) > 1 and flatbuffer.tensor_dtype(tensor) == "float32"
