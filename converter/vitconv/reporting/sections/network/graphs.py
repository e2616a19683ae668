"""The graph of each file: what it computes with, and how much of that a delegate takes."""

from __future__ import annotations

from dataclasses import dataclass

from vitconv.reporting.findings import Export, ModelFile
from vitconv.tflite.inspection import Inspection


@dataclass(frozen=True)
class OperatorRow:
    name: str
    count: str
    version: str
    in_float: str


@dataclass(frozen=True)
class Graph:
    """`delegated` and `partitions` are of this desktop, on_android the same in the library that Android apps ship
    ("20 of 30, 5 partitions"); empty where it was not measured. `kept_float` names the layers that a hybrid file
    keeps in float."""

    scheme: str
    operators: str
    in_float: str
    delegated: str
    partitions: str
    on_android: str
    largest_rank: str
    types: str
    problems: tuple[str, ...]
    kept_float: str
    rows: tuple[OperatorRow, ...]


def graphs(export: Export) -> tuple[Graph, ...]:
    """Of the files that can be read."""
    return tuple(_graph(file, file.inspection) for file in export.files if file.inspection)


def _graph(file: ModelFile, inspection: Inspection) -> Graph:
    timing = file.desktop
    known = timing is not None and timing.nodes is not None
    ordered = sorted(inspection.ops.items(), key=lambda op: (-op[1]["count"], op[0]))
    return Graph(
        scheme=file.scheme,
        operators=str(inspection.op_count),
        in_float=str(sum(inspection.float_ops.values())),
        delegated=f"{timing.delegated_nodes} of {timing.nodes}" if timing and known else "",
        partitions=str(timing.partitions) if timing and timing.partitions is not None else "",
        on_android=_on_android(file),
        largest_rank=str(inspection.max_rank),
        types=" → ".join(tensor.dtype for tensor in (*inspection.inputs[:1], *inspection.outputs[:1])),
        problems=tuple(inspection.problems),
        kept_float=", ".join(file.keep_float),
        rows=tuple(
            OperatorRow(name, str(op["count"]), str(op["version"]), str(inspection.float_ops.get(name, 0)))
            for name, op in ordered
        ),
    )


def _on_android(file: ModelFile) -> str:
    if file.android is None:
        return ""
    taken = file.android.android
    return f"{taken.delegated_nodes} of {taken.nodes}, {taken.partitions} partitions"
