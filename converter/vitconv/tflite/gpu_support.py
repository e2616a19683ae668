"""How much of a file TensorFlow Lite 2.16.1's GPU delegate takes, and what it does not: see `gpu_rules`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vitconv.tflite import flatbuffer
from vitconv.tflite.gpu_rules import Effect, from_constants, not_for_gpus
from vitconv.tflite.graph import Graph


@dataclass(frozen=True)
class Gap:
    """A kind of operator that a GPU does not get: why, the layer of the first one, and how many there are.

    effect: as `gpu_rules.NotForGpus` has it.
    """

    operator: str
    reason: str
    layer: str
    count: int
    effect: Effect = "refused"

    @property
    def phrase(self) -> str:
        """What the delegate does with it: "refuses TOPK_V2 in …"."""
        does = {"refused": "refuses", "fails": "fails over", "wrong": "gives wrong values for"}
        return f"{does[self.effect]} {self}"

    def __str__(self) -> str:
        more = f" and {self.count - 1} more" if self.count > 1 else ""
        return f"{self.operator} in {self.layer}{more} ({self.reason})"


@dataclass(frozen=True)
class GpuSupport:
    """Of the `operations` of a file's main graph the delegate computes `taken`: those of the largest part without
    a gap. The processor computes the rest."""

    operations: int
    taken: int
    gaps: tuple[Gap, ...]

    @property
    def whole(self) -> bool:
        """Whether it computes all, and right."""
        return not self.gaps

    @property
    def wrong(self) -> tuple[Gap, ...]:
        """What it computes wrongly."""
        return tuple(gap for gap in self.gaps if gap.effect == "wrong")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "gaps": [asdict(gap) for gap in self.gaps]}


def gpu_support(graph: Graph) -> GpuSupport:
    """What the delegate does with a file's main graph."""
    subgraph = graph.model.subgraphs[0]
    found = list(not_for_gpus(graph))
    kinds: dict[tuple[str, str, Effect], list[str]] = {}
    for one in found:
        kinds.setdefault((one.operator, one.reason, one.effect), []).append(one.layer)
    gaps = [
        Gap(operator, reason, layers[0], len(layers), effect)
        for (operator, reason, effect), layers in kinds.items()
    ]
    refused = {one.index for one in found if one.effect == "refused"}
    if refused:  # it does not count what makes weights wider, then
        refused |= set(from_constants(graph).values())
    part = _largest_part(graph, refused)
    fails = any(one.effect == "fails" and one.index in part for one in found)
    dynamic = any(map(_is_dynamic, subgraph.tensors or ()))
    return GpuSupport(len(subgraph.operators or ()), 0 if fails or dynamic else len(part), tuple(gaps))


def _largest_part(graph: Graph, refused: set[int]) -> set[int]:
    """The places of the operations in the largest part that the delegate may have; by default it takes only one.

    TFLite cuts a graph so: it takes the first operation whose inputs are there, then every further one of the same
    side, GPU or processor, whose inputs are there; and then begins the next part, on the other side.
    """
    operators = list(graph.model.subgraphs[0].operators or ())
    missing = {tensor for operator in operators for tensor in flatbuffer.outputs(operator)}
    waiting = list(range(len(operators)))
    largest: set[int] = set()

    def ready(place: int) -> bool:
        return missing.isdisjoint(flatbuffer.inputs(operators[place]))

    while waiting:
        part: set[int] = set()
        side = None
        for place in waiting:  # in order, so that one pass finds all
            if ready(place) and side in (None, place in refused):
                side = place in refused
                part.add(place)
                missing.difference_update(flatbuffer.outputs(operators[place]))
        if not part:
            break  # operations that wait for each other, in a corrupt file
        waiting = [place for place in waiting if place not in part]
        if not side and len(part) > len(largest):
            largest = part
    return largest


def _is_dynamic(tensor: Any) -> bool:
    return tensor.shapeSignature is not None and any(size < 0 for size in tensor.shapeSignature)
