"""Makes a graph's file smaller without changing what it computes.

About a tenth of the converter's int8 files is not needed for computing: names of constants, long names of
operations that were merged from several, and an empty buffer for each tensor without data.
`flatbuffer.serialize` does its part, too.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import has_kernel, inner_name, layer_in, layer_of, short_name


def compact(graph: Graph, inner_names: bool = True, nested: bool = False) -> Graph:
    """The same graph in fewer bytes. Tensors that are computed keep a name that tells their layer.

    Without `inner_names`, tensors that nobody but their own layer reads are all called after it alone, and the
    others keep names of their own, by which layers are compared. `nested`: the model may have models inside, see
    `layer_names.layer_in`.
    """
    model = graph.draft()
    for index, subgraph in enumerate(model.subgraphs):
        _drop_unused_tensors(model, index)
        _shorten(model, subgraph, nested)
        if not inner_names:
            for tensor in _inner_tensors(subgraph):
                tensor.name = inner_name(tensor.name)
    _drop_empty_buffers(model)
    return Graph(model, graph.name)


def _drop_unused_tensors(model: Any, index: int) -> None:
    """Those of a subgraph that no operator names and that are neither its inputs nor its outputs."""
    subgraph = model.subgraphs[index]
    maps = [
        (copy(entry), signature, field)
        for signature in model.signatureDefs or ()
        if signature.subgraphIndex == index
        for field in ("inputs", "outputs")
        for entry in getattr(signature, field) or ()
    ]
    lists = [(subgraph, "inputs"), (subgraph, "outputs")]
    for operator in subgraph.operators or ():
        lists += [(operator, field) for field in ("inputs", "outputs", "intermediates")]
    lists = [(owner, field) for owner, field in lists if getattr(owner, field) is not None]
    used = {int(tensor) for owner, field in lists for tensor in getattr(owner, field)}
    used |= {int(entry.tensorIndex) for entry, _, _ in maps}
    used.discard(-1)  # an optional input that is not there
    if len(used) == len(subgraph.tensors or ()):
        return
    places = {old: new for new, old in enumerate(sorted(used))} | {-1: -1}
    for owner, field in lists:
        setattr(owner, field, np.array([places[int(tensor)] for tensor in getattr(owner, field)], np.int32))
    for entry, _, _ in maps:
        entry.tensorIndex = places[int(entry.tensorIndex)]
    for signature in model.signatureDefs or ():
        for field in ("inputs", "outputs"):
            mine = [entry for entry, owner, which in maps if owner is signature and which == field]
            if mine:
                setattr(signature, field, mine)
    subgraph.tensors = [subgraph.tensors[old] for old in sorted(used)]


def _shorten(model: Any, subgraph: Any, nested: bool) -> None:
    """Names of constants go, others become short."""
    tensors = list(subgraph.tensors or ())
    for tensor in tensors:
        tensor.name = None if flatbuffer.is_constant(model, tensor) else flatbuffer.text(tensor.name)
    codes = flatbuffer.operator_names(model)
    computed = {output: op for op in subgraph.operators or () for output in flatbuffer.outputs(op)}
    taken = {tensor.name for tensor in tensors}
    for index in [*computed, *(index for index in range(len(tensors)) if index not in computed)]:
        operator, tensor = computed.get(index), tensors[index]
        layer = layer_in(tensor.name or "", operator is not None and has_kernel(model, subgraph, operator), nested)
        if layer is not None:
            tensor.name = short_name(layer, "input" if operator is None else codes[operator.opcodeIndex], taken)
            taken.add(tensor.name)


def _inner_tensors(subgraph: Any) -> list[Any]:
    """Computed by an operation of a layer and read by operations of the same layer only."""
    readers = flatbuffer.readers(subgraph)
    given = {int(index) for index in subgraph.outputs} if subgraph.outputs is not None else set()

    def layer(operator: Any) -> str | None:
        outputs = flatbuffer.outputs(operator)
        return layer_of(subgraph.tensors[outputs[0]].name or "") if outputs else None

    return [
        subgraph.tensors[output]
        for operator in subgraph.operators or ()
        for output in flatbuffer.outputs(operator)
        if output not in given and {layer(reader) for reader in readers.get(output, ())} == {layer(operator)}
    ]


def _drop_empty_buffers(model: Any) -> None:
    """But the first, which the format wants to be empty."""
    users = [tensor for subgraph in model.subgraphs for tensor in subgraph.tensors or ()]
    users += model.metadata or ()
    full = sorted({user.buffer for user in users if flatbuffer.is_constant(model, user)})
    places = {old: new for new, old in enumerate(full, start=1)}
    model.buffers = [schema.BufferT(), *(model.buffers[old] for old in full)]
    for user in users:
        user.buffer = places.get(user.buffer, 0)
