"""Makes a .tflite file smaller without changing what it computes.

A tenth of the converter's int8 files is no number that anything computes with. Names of constants, which nobody
asks for; names of operations that it made of several, with the name of each; a buffer for each tensor that has no
data. `flatbuffer.serialize` does its part, too.
"""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from vitconv.tflite import flatbuffer
from vitconv.tflite.layer_names import inner_name, layer_of, operations_of, short_name


def compact(data: bytes, inner_names: bool = True) -> bytes:
    """The same model in fewer bytes. Tensors that are computed keep a name that tells their layer.

    Without `inner_names`, tensors that nobody but their own layer reads are all called after it alone, and the
    others keep names of their own, by which layers are compared.
    """
    model = flatbuffer.parse(data, "the converted model")
    (subgraph,) = model.subgraphs
    from_kernel = {operation.output for operation in operations_of(model) if operation.has_weights}
    for index, tensor in enumerate(subgraph.tensors):
        constant = flatbuffer.is_constant(model, tensor)
        tensor.name = None if constant else short_name(flatbuffer.text(tensor.name), index in from_kernel)
    if not inner_names:
        for tensor in _inner_tensors(model):
            tensor.name = inner_name(tensor.name)
    _drop_empty_buffers(model, [*subgraph.tensors, *(model.metadata or ())])
    return flatbuffer.serialize(model)


def _inner_tensors(model: Any) -> list[Any]:
    """Computed by an operation of a layer and read by operations of the same layer only."""
    (subgraph,) = model.subgraphs
    readers = flatbuffer.readers(model)

    def layer(operator: Any) -> str:
        return layer_of(subgraph.tensors[operator.outputs[0]].name)

    return [
        subgraph.tensors[output]
        for operator in subgraph.operators
        for output in operator.outputs
        if {layer(reader) for reader in readers.get(int(output), ())} == {layer(operator)}
    ]


def _drop_empty_buffers(model: Any, users: list[Any]) -> None:
    """But the first, which the format wants to be empty. `users` are all that refer to a buffer."""
    full = sorted({user.buffer for user in users if flatbuffer.is_constant(model, user)})
    places = {old: new for new, old in enumerate(full, start=1)}
    model.buffers = [schema.BufferT(), *(model.buffers[old] for old in full)]
    for user in users:
        user.buffer = places.get(user.buffer, 0)
