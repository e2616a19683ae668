"""The bytes of a .tflite file ⇄ its objects, safe with files that are corrupt.

Between the two ends of an export a model is a `graph.Graph`; this module is what that is made from and written by.
"""

from __future__ import annotations

import math
import stat
from copy import copy
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from vitconv.foundation.errors import ModelFileError
from vitconv.tflite.structure import Corrupt, check_structure

IDENTIFIER = b"TFL3"

_MAX_RANK = 16
_MAX_FILE_BYTES = 2 << 30  # as far as an offset inside it reaches

# A data buffer starts at a multiple of this many bytes: the schema's `force_align`, which generated Python
# ignores.
_DATA_ALIGNMENT = 16

_TYPE_NAMES: dict[int, str] = {
    value: name.lower() for name, value in vars(schema.TensorType).items() if name.isupper()
}
_ITEM_BYTES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "uint64": 8, "int32": 4, "uint32": 4,
    "int16": 2, "uint16": 2, "int8": 1, "uint8": 1, "bool": 1, "complex64": 8, "complex128": 16,
}  # fmt: skip


def read(path: Path) -> bytes:
    """The bytes of a .tflite file. Raises ModelFileError where there is no such file, or it cannot be one."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise ModelFileError(f"{path} is a folder. Name a .tflite file in it.")
        if not stat.S_ISREG(found.st_mode):  # a device may go on for ever
            raise ModelFileError(f"{path} is a pipe or a device. Name a .tflite file.")
        if found.st_size > _MAX_FILE_BYTES:
            raise ModelFileError(
                f"{path} is no .tflite file: it has {found.st_size} bytes, and a flatbuffer cannot have more than "
                f"{_MAX_FILE_BYTES}. Name a .tflite file."
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"there is no model file {path}.") from None
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror or error}.") from error
    _check_identifier(data, str(path))
    return data


def parse(data: bytes, name: str) -> Any:
    """A .tflite file's bytes → `schema.ModelT` of ai_edge_litert. `name` is what messages call the file.

    Vectors of numbers (shapes, scales, buffer data …) are read-only NumPy views into `data`; texts are
    bytes. Every reference inside (operator codes, tensors, buffers) is in range, and every constant tensor
    has its data. Bytes after the model (an archive of labels) are left out.
    Raises ModelFileError where the file is corrupt.
    """
    _check_identifier(data, name)
    try:
        check_structure(data)
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
        _check_references(model, len(data))
    except ModelFileError:
        raise
    # Corrupt bytes reach many places of the generated code, each with an exception of its own.
    except Exception as error:
        detail = str(error) if isinstance(error, Corrupt) else f"{type(error).__name__}: {error}"
        raise ModelFileError(
            f"{name} is corrupt ({detail}). Get it again from where it came, or export it again."
        ) from error
    return model


def serialize(model: Any) -> bytes:
    """`schema.ModelT` → the bytes of a .tflite file; the same model always gives the same bytes.

    Raises ModelFileError for a model whose weights stand outside the flatbuffer (files above 2 GB).
    """
    if any(buffer.offset > 1 for buffer in model.buffers or ()):
        raise ModelFileError("a model with weights outside its flatbuffer (above 2 GB) cannot be rewritten.")
    builder = _CompactBuilder(1 << 20)
    builder.Finish(_with_shared_records(model).Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def text(value: bytes | str | None) -> str:
    """A text field of the object API, which is bytes after reading and str or None before writing."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value or ""


def tensor_dtype(tensor: Any) -> str:
    """NumPy's name for a TensorT's element type: "float32", "int8" …"""
    return _TYPE_NAMES[tensor.type]


def tensor_shape(tensor: Any) -> tuple[int, ...]:
    """A TensorT's shape as plain integers; () for a scalar."""
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def is_constant(model: Any, tensor: Any) -> bool:
    """Whether a TensorT (or whatever else names a buffer) of a ModelT has data in the file."""
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def tensor_quantization(tensor: Any) -> tuple[float, int] | None:
    """(scale, zero point) of a TensorT with one pair for all its values; None where there is none, or many.

    The real value of a stored number q is (q − zero point) × scale.
    """
    record = tensor.quantization
    if record is None or record.scale is None or len(record.scale) != 1:
        return None
    scale, zero_points = float(record.scale[0]), record.zeroPoint
    if not 0 < scale < math.inf:
        return None
    return scale, 0 if zero_points is None or not len(zero_points) else int(zero_points[0])


def data_vector(data: bytes) -> npt.NDArray[np.uint8]:
    """Bytes as the data of a BufferT: uint8 [len(data)]."""
    return np.frombuffer(data, np.uint8)


def operator_name(code: Any) -> str:
    """An OperatorCodeT's name: CONV_2D …, or a custom operator's own name."""
    builtin = builtin_code(code)
    if builtin == schema.BuiltinOperator.CUSTOM:
        return text(code.customCode) or "CUSTOM"
    return _BUILTIN_NAMES.get(builtin, f"OPERATOR_{builtin}")


def operator_names(model: Any) -> list[str]:
    """`operator_name` of each of a ModelT's operator codes, which an OperatorT names by its `opcodeIndex`."""
    return [operator_name(code) for code in model.operatorCodes or ()]


def inputs(operator: Any) -> list[int]:
    """The tensors that an OperatorT reads, in order, without optional ones that are not there."""
    return [int(tensor) for tensor in _indices(operator.inputs) if tensor >= 0]


def outputs(operator: Any) -> list[int]:
    """The tensors that an OperatorT computes, in order. A few operators (ASSIGN_VARIABLE …) compute none."""
    return [int(tensor) for tensor in _indices(operator.outputs)]


def readers(subgraph: Any) -> dict[int, list[Any]]:
    """Tensor → the operators of a SubGraphT that read it, in order, each once."""
    found: dict[int, list[Any]] = {}
    for operator in subgraph.operators or ():
        for index in dict.fromkeys(inputs(operator)):
            found.setdefault(index, []).append(operator)
    return found


def _indices(values: Any) -> Any:
    """A vector of the object API, which is None where it was left out."""
    return () if values is None else values


def code_index(model: Any, builtin: int) -> int:
    """The index of a builtin operator's code in a ModelT, which is added where there is none."""
    for index, code in enumerate(model.operatorCodes):
        if builtin_code(code) == builtin:
            return index
    model.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=builtin, builtinCode=builtin, version=1))
    return len(model.operatorCodes) - 1


def builtin_code(code: Any) -> int:
    """An OperatorCodeT's number. Old files keep it in a field of one byte, new ones in another or in both."""
    return max(int(code.deprecatedBuiltinCode), int(code.builtinCode))


_BUILTIN_NAMES: dict[int, str] = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()
}


class _CompactBuilder(flatbuffers.Builder):
    """Keeps weights aligned in memory, as TensorFlow's own writer does, and writes equal vectors and texts once.

    Every tensor has its shape, and one with a scale a channel eight bytes a channel for zero points that are all
    zero: a tenth of an int8 file. Flatbuffers lets any number of tables refer to one vector, or to one record.
    """

    def __init__(self, initial_bytes: int) -> None:
        super().__init__(initial_bytes)
        self._written: dict[tuple[str, bytes], int] = {}
        self._texts: dict[bytes, int] = {}
        self.records: dict[Any, int] = {}

    def CreateString(self, s: Any, encoding: str = "utf-8", errors: str = "strict") -> int:
        key = s.encode(encoding, errors) if isinstance(s, str) else bytes(s)
        if key not in self._texts:
            self._texts[key] = int(super().CreateString(key))
        return self._texts[key]

    def CreateNumpyVector(self, values: npt.NDArray[Any]) -> int:
        key = (values.dtype.str, values.tobytes())
        if key not in self._written:
            if values.dtype == np.uint8:
                self.Prep(_DATA_ALIGNMENT, values.size)
            self._written[key] = int(super().CreateNumpyVector(values))
        return self._written[key]


class _SharedRecord:
    """Writes a record of the object API, an operator's options or a tensor's quantization, where a builder has not
    written an equal one before."""

    def __init__(self, record: Any) -> None:
        self._record = record

    def Pack(self, builder: _CompactBuilder) -> int:
        values = tuple(
            value.tobytes() if isinstance(value, np.ndarray) else repr(value)
            for value in vars(self._record).values()
        )
        key = (type(self._record), values)
        if key not in builder.records:
            builder.records[key] = int(self._record.Pack(builder))
        return builder.records[key]


def _with_shared_records(model: Any) -> Any:
    """A copy of the model that writes equal records once."""

    def sharing(user: Any, field: str) -> Any:
        changed = copy(user)
        if getattr(user, field) is not None:
            setattr(changed, field, _SharedRecord(getattr(user, field)))
        return changed

    shared = copy(model)
    shared.subgraphs = [copy(subgraph) for subgraph in model.subgraphs or ()]
    for subgraph in shared.subgraphs:
        subgraph.tensors = [sharing(tensor, "quantization") for tensor in subgraph.tensors or ()]
        subgraph.operators = [sharing(operator, "builtinOptions") for operator in subgraph.operators or ()]
    return shared


def _check_identifier(data: bytes, name: str) -> None:
    if not data:
        raise ModelFileError(f"{name} is empty. Get it again from where it came, or export it again.")
    if data[4:8] != IDENTIFIER:
        raise ModelFileError(
            f"{name} is not a .tflite file: its bytes 4–8 are {data[4:8]!r}, not {IDENTIFIER!r}. "
            "Name a .tflite file."
        )


def _check_references(model: Any, file_bytes: int) -> None:
    """Every index inside the model leads to something, and every constant is complete."""
    codes, buffers = model.operatorCodes or [], model.buffers or []
    if not model.subgraphs:
        raise Corrupt("no graph in it")
    for buffer in buffers:
        if buffer.offset > 1 and buffer.offset + buffer.size > file_bytes:
            raise Corrupt(f"weights at byte {buffer.offset} end after the file's {file_bytes} bytes")
    for item in model.metadata or []:
        _check_index("metadata", [item.buffer], len(buffers))
    for subgraph in model.subgraphs:
        tensors = subgraph.tensors or []
        for tensor in tensors:
            _check_tensor(tensor, buffers)
        _check_index("input", subgraph.inputs, len(tensors))
        _check_index("output", subgraph.outputs, len(tensors))
        for operator in subgraph.operators or []:
            _check_index("operator code", [operator.opcodeIndex], len(codes))
            # -1 stands for an optional input that is not there.
            _check_index("operator input", operator.inputs, len(tensors), lowest=-1)
            _check_index("operator output", operator.outputs, len(tensors))


def _check_tensor(tensor: Any, buffers: list[Any]) -> None:
    name = text(tensor.name)
    if tensor.type not in _TYPE_NAMES:
        raise Corrupt(f"tensor {name!r} has the unknown type {tensor.type}")
    rank = 0 if tensor.shape is None else len(tensor.shape)
    if rank > _MAX_RANK:
        raise Corrupt(f"tensor {name!r} has {rank} dimensions")
    shape = tensor_shape(tensor)
    if any(size < 0 for size in shape):
        raise Corrupt(f"tensor {name!r} has the shape {shape}")
    _check_index("buffer", [tensor.buffer], len(buffers))
    data = buffers[tensor.buffer].data
    item_bytes = _ITEM_BYTES.get(tensor_dtype(tensor))
    if data is None or not len(data) or item_bytes is None or tensor.sparsity is not None:
        return
    needed = item_bytes
    for size in shape:
        needed *= size
    if len(data) != needed:
        raise Corrupt(f"tensor {name!r} needs {needed} bytes, its buffer holds {len(data)}")


def _check_index(what: str, indices: Any, length: int, lowest: int = 0) -> None:
    if indices is None or not len(indices):
        return
    values = np.asarray(indices, np.int64)
    if values.min() < lowest or values.max() >= length:
        raise Corrupt(f"{what} {values.tolist()[:8]} where there are {length}")
