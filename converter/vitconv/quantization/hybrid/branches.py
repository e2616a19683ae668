"""Units of other people's networks, whose layers have no blocks in their names: what lies between residual sums.

Where x + f(x) is added up, f is one unit: attention with its normalisation, the two dense layers behind it, a
bottleneck of convolutions. It is named by the longest scope that tells it from all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import Operation, operations


def branches(graph: Graph) -> Mapping[int, str]:
    """Index of an operation → its unit, for those that are in a branch; where branches hold branches, the
    innermost."""
    found = list(operations(graph))
    regions = sorted(_regions(graph, found), key=len)
    inside: dict[int, int] = {}
    for number, region in enumerate(regions):
        for place in region:
            inside.setdefault(place, number)
    members = [
        [op for place, op in enumerate(found) if inside.get(place) == number] for number in range(len(regions))
    ]
    names = _names(members)
    return {found[place].index: names[number] for place, number in inside.items()}


def _regions(graph: Graph, found: Sequence[Operation]) -> list[frozenset[int]]:
    """Of each sum of two activations of one shape: the places of the operations on one of its sides that the other
    does not need. Sums without a kernel there, as rules write them, are none."""
    tensors = graph.model.subgraphs[0].tensors
    maker = {output: place for place, operation in enumerate(found) for output in operation.outputs}
    needed: list[int] = []  # of each operation those that it needs, and itself, as a number's bits
    regions = []
    for place, operation in enumerate(found):
        sources = [maker[tensor] for tensor in operation.activations if tensor in maker]
        own = 1 << place
        for source in sources:
            own |= needed[source]
        needed.append(own)
        shapes = {flatbuffer.tensor_shape(tensors[tensor]) for tensor in operation.activations}
        if operation.operator != "ADD" or len(operation.activations) != 2 or len(shapes) != 1 or not sources:
            continue
        sides = [needed[maker[tensor]] if tensor in maker else 0 for tensor in operation.activations]
        bits = sides[0] ^ sides[1]  # what only one of them needs
        region = frozenset(one for one in range(place) if bits >> one & 1)
        if any(found[one].has_weights for one in region):
            regions.append(region)
    return regions


def _names(regions: Sequence[Sequence[Operation]]) -> list[str]:
    """Of each region the scope that all of its layers share, or else those with weights, if no other has it; else
    the first and the last of these layers."""
    weighted = [list(dict.fromkeys(op.layer for op in region if op.has_weights)) for region in regions]
    whole = [list(dict.fromkeys(op.layer for op in region)) for region in regions]
    names = [""] * len(regions)
    for by_region in (whole, weighted):
        scopes = [_common(one) for one in by_region]
        count = Counter(scopes)
        outer = {parent for scope in set(scopes) for parent in _parents(scope)}
        for number, scope in enumerate(scopes):
            if not names[number] and scope and count[scope] == 1 and scope not in outer:
                names[number] = scope
    for number, layers in enumerate(weighted):
        names[number] = names[number] or (f"{layers[0]}…{layers[-1]}" if len(layers) > 1 else layers[0])
    return _distinct(names)


def _common(layers: Sequence[str]) -> str:
    """The scopes that all names begin with: a.b of a.b.c and a.b.d."""
    if not layers:
        return ""
    parts = [layer.split(".") for layer in layers]
    shared = []
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return ".".join(shared)


def _parents(scope: str) -> Iterable[str]:
    while "." in scope:
        scope = scope.rpartition(".")[0]
        yield scope


def _distinct(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    made = []
    for name in names:
        seen[name] += 1
        made.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return made
