"""What a .tflite file holds, which runtime can take it, and what will make trouble on a phone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from vitconv.foundation.errors import ModelFileError
from vitconv.tflite import flatbuffer, metadata
from vitconv.tflite.gpu_support import GpuSupport, gpu_support
from vitconv.tflite.graph import Graph
from vitconv.tflite.runtime_versions import ANDROID_RELEASE, Release, first_release, release_name

# TensorFlow's GPU delegates take tensors of up to four dimensions.
_GPU_MAX_RANK = 4

_FLOAT_DTYPES = frozenset({"float16", "float32", "float64", "bfloat16"})
_WEIGHT_DTYPES = _FLOAT_DTYPES | {"int2", "int4", "int8", "int16", "uint4", "uint8"}


@dataclass(frozen=True)
class TensorInfo:
    """An input or output. A stored number q stands for (q − zero_point) × scale; both are None in float."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class Inspection:
    """What one file holds.

    `ops` is name → {"count", "version"}, the version being the highest of that operator; `float_ops` is
    name → how many of them read or write floating-point tensors; `flex_ops` are TensorFlow's own operators,
    which need the Flex runtime. `runtime_needed` is the first TFLite release that has all operators, "2.3.0",
    or "unknown (OP vN)". `metadata` is a ModelMetadata's to_json, or None. `problems` are sentences for a
    user. `gpu` is how much TFLite 2.16.1's GPU delegate takes.

    What follows is for checks of conversion and not in the JSON document: `tensor_dtypes` of all tensors;
    `weight_bytes`, dtype → bytes of constants that have at least two dimensions and are no indices;
    `dynamic_shapes`, the names of tensors whose shape is known only when the model runs.
    """

    path: str
    bytes: int
    sha256: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    ops: dict[str, dict[str, int]]
    op_count: int
    max_rank: int
    flex_ops: list[str]
    float_ops: dict[str, int]
    runtime_needed: str
    metadata: dict[str, Any] | None
    problems: list[str]
    gpu: GpuSupport
    tensor_dtypes: frozenset[str]
    weight_bytes: dict[str, int]
    dynamic_shapes: tuple[str, ...]

    @property
    def all_integer(self) -> bool:
        """Whether no tensor in any graph is floating-point."""
        return not self.tensor_dtypes & _FLOAT_DTYPES

    @property
    def has_dynamic_shapes(self) -> bool:
        """Whether any tensor's shape is known only when the model runs."""
        return bool(self.dynamic_shapes)

    def loads_on(self, release: Release) -> bool:
        """Whether this TFLite release is known to have a built-in kernel for every operator of the file."""
        needed = (first_release(name, op["version"]) for name, op in self.ops.items())
        return all(first is not None and first <= release for first in needed)

    def to_json(self) -> dict[str, Any]:
        """The document of `vitconv inspect --json`."""
        document = asdict(self)
        for name in ("tensor_dtypes", "weight_bytes", "dynamic_shapes"):
            del document[name]
        document["gpu"] = self.gpu.to_json()
        for name in ("inputs", "outputs"):
            document[name] = [{**tensor, "shape": list(tensor["shape"])} for tensor in document[name]]
        return document


def inspect(path: Path) -> Inspection:
    """Looks into a .tflite file. Raises ModelFileError where it is missing or corrupt."""
    return inspect_graph(Graph.read(path))


def inspect_graph(graph: Graph) -> Inspection:
    """`inspect` of a file that was parsed; its name becomes `path`."""
    model, data = graph.model, graph.data
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors or ()]
    main = model.subgraphs[0]
    inputs, outputs = _tensor_infos(main, main.inputs), _tensor_infos(main, main.outputs)
    ops = _ops(model)
    max_rank = max((len(flatbuffer.tensor_shape(tensor)) for tensor in tensors), default=0)
    dynamic = tuple(flatbuffer.text(tensor.name) for tensor in tensors if _is_dynamic(tensor))
    described, metadata_problem = _metadata(graph, outputs)
    problems = [
        *_op_problems(model, ops),
        *_shape_problems(inputs, max_rank, dynamic),
        *metadata_problem,
    ]
    return Inspection(
        path=graph.name,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        inputs=inputs,
        outputs=outputs,
        ops=ops,
        op_count=sum(op["count"] for op in ops.values()),
        max_rank=max_rank,
        flex_ops=sorted(op for op in _custom_ops(model) if _is_flex(op)),
        float_ops=_float_ops(model),
        runtime_needed=_runtime_needed(ops),
        metadata=described.to_json() if described else None,
        problems=problems,
        gpu=gpu_support(graph),
        tensor_dtypes=frozenset(flatbuffer.tensor_dtype(tensor) for tensor in tensors),
        weight_bytes=_weight_bytes(model, tensors),
        dynamic_shapes=dynamic,
    )


def _tensor_infos(graph: Any, indices: Iterable[int] | None) -> tuple[TensorInfo, ...]:
    return tuple(_tensor_info(graph.tensors[index]) for index in (() if indices is None else indices))


def _tensor_info(tensor: Any) -> TensorInfo:
    scale, zero_point = flatbuffer.tensor_quantization(tensor) or (None, None)
    return TensorInfo(
        name=flatbuffer.text(tensor.name),
        shape=flatbuffer.tensor_shape(tensor),
        dtype=flatbuffer.tensor_dtype(tensor),
        scale=scale,
        zero_point=zero_point,
    )


def _operators(model: Any) -> Iterator[tuple[Any, Any, str]]:
    """(graph, operator, the operator's name) for all operators of all graphs."""
    names = flatbuffer.operator_names(model)
    for graph in model.subgraphs:
        for operator in graph.operators or ():
            yield graph, operator, names[operator.opcodeIndex]


def _ops(model: Any) -> dict[str, dict[str, int]]:
    ops: dict[str, dict[str, int]] = {}
    for _, operator, name in _operators(model):
        entry = ops.setdefault(name, {"count": 0, "version": 0})
        entry["count"] += 1
        entry["version"] = max(entry["version"], int(model.operatorCodes[operator.opcodeIndex].version))
    return dict(sorted(ops.items()))


def _custom_ops(model: Any) -> set[str]:
    custom = schema.BuiltinOperator.CUSTOM
    codes = model.operatorCodes or ()
    return {
        name
        for _, operator, name in _operators(model)
        if flatbuffer.builtin_code(codes[operator.opcodeIndex]) == custom
    }


def _is_flex(name: str) -> bool:
    return name.startswith("Flex")


def _float_ops(model: Any) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for graph, operator, name in _operators(model):
        indices = [
            index
            for used in (operator.inputs, operator.outputs)
            if used is not None
            for index in used
            if index >= 0
        ]
        if any(flatbuffer.tensor_dtype(graph.tensors[index]) in _FLOAT_DTYPES for index in indices):
            counts[name] += 1
    return dict(sorted(counts.items()))


def _is_dynamic(tensor: Any) -> bool:
    return tensor.shapeSignature is not None and any(size < 0 for size in tensor.shapeSignature)


def _weight_bytes(model: Any, tensors: list[Any]) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        data, dtype = model.buffers[tensor.buffer].data, flatbuffer.tensor_dtype(tensor)
        if data is not None and len(data) and dtype in _WEIGHT_DTYPES and len(flatbuffer.tensor_shape(tensor)) > 1:
            sizes[dtype] += len(data)
    return dict(sorted(sizes.items()))


def _runtime_needed(ops: dict[str, dict[str, int]]) -> str:
    needed: Release = (0, 0, 0)
    unknown = []
    for name, op in ops.items():
        first = first_release(name, op["version"])
        if first is None:
            unknown.append(f"{name} v{op['version']}")
        else:
            needed = max(needed, first)
    return f"unknown ({', '.join(unknown)})" if unknown else release_name(needed)


def _op_problems(model: Any, ops: dict[str, dict[str, int]]) -> Iterator[str]:
    custom = _custom_ops(model)
    flex = sorted(name for name in custom if _is_flex(name))
    if flex:
        yield (
            f"It needs the Flex runtime, which adds more than 100 MB to an app, for: {', '.join(flex)}. "
            "Write the model without these operations and convert it again."
        )
    own = sorted(custom - set(flex))
    if own:
        yield f"It needs custom operators that no TFLite release has: {', '.join(own)}."
    android = release_name(ANDROID_RELEASE)
    for name, op in ops.items():
        if name in custom:
            continue
        first = first_release(name, op["version"])
        if first is None:
            yield (
                f"{name} version {op['version']} is not in this program's list of operator versions (it may "
                "be newer), so which runtime has it is unknown. Try it on the runtime that you ship."
            )
        elif first > ANDROID_RELEASE:
            yield (
                f"{name} version {op['version']} needs TFLite {release_name(first)}; the newest for Android "
                f"on Maven Central, {android}, refuses the file."
            )


def _shape_problems(inputs: tuple[TensorInfo, ...], max_rank: int, dynamic: tuple[str, ...]) -> Iterator[str]:
    if dynamic:
        yield (
            f"{len(dynamic)} tensors have a shape that is known only when the model runs ({dynamic[0]!r} …), "
            "which delegates refuse. Convert with a fixed batch of 1."
        )
    if max_rank > _GPU_MAX_RANK:
        yield f"A tensor has {max_rank} dimensions; GPU delegates take no more than {_GPU_MAX_RANK}."
    for tensor in inputs:
        if tensor.shape and tensor.shape[0] != 1:
            yield (
                f"The input {tensor.name!r} takes {tensor.shape[0]} pictures at once; "
                "GPU delegates and the Task Library take 1."
            )


def _metadata(graph: Graph, outputs: tuple[TensorInfo, ...]) -> tuple[metadata.ModelMetadata | None, list[str]]:
    """The metadata, and what is wrong with them."""
    try:
        described = metadata.read(graph)
    except ModelFileError as error:
        return None, [str(error)]
    if described is None:
        return None, ["It has no metadata: an app cannot know its labels and pixel range from the file alone."]
    classes = outputs[0].shape[-1] if outputs and outputs[0].shape else 1
    if len(described.labels) != classes:
        return described, [f"Its {len(described.labels)} labels do not fit its {classes} outputs."]
    return described, []
