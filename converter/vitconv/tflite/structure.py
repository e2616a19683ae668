"""Whether the bytes of a .tflite file are sound enough to be unpacked.

The generated reader trusts every offset and length it finds; a few wrong bytes can make it loop or copy for
minutes. So all tables are walked once before it sees them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ai_edge_litert import schema_py_generated as schema

# An image classifier has some thousand tables (tensors, operators, buffers …). The limits only have to stop a
# file that would unpack into gigabytes.
_MAX_TABLES = 200_000
_MAX_TEXT_BYTES = 64 << 20

# What each table refers to: field number → text, another table, or a list of tables. Numbers stand inside the
# table, and vectors of numbers are read as views that NumPy checks against the file's end.
_TEXT = "text"
_FIELDS: dict[str, dict[int, str | list[str]]] = {
    "Model": {
        1: ["OperatorCode"], 2: ["SubGraph"], 3: _TEXT, 4: ["Buffer"], 6: ["Metadata"], 7: ["SignatureDef"],
        8: ["ExternalBufferGroup"], 9: ["ExternalBuffer"],
    },
    "OperatorCode": {1: _TEXT},
    "SubGraph": {0: ["Tensor"], 3: ["Operator"], 4: _TEXT},
    "Tensor": {3: _TEXT, 4: "Quantization", 6: "Sparsity", 9: ["VariantSubType"]},
    "Quantization": {5: "Options"},
    "Sparsity": {2: ["Dimension"]},
    "Dimension": {3: "Options", 5: "Options"},
    "VariantSubType": {},
    "Operator": {4: "Options", 12: "Options"},
    "Options": {},
    "Buffer": {},
    "Metadata": {0: _TEXT},
    "SignatureDef": {0: ["TensorMap"], 1: ["TensorMap"], 2: _TEXT},
    "TensorMap": {0: _TEXT},
    "ExternalBufferGroup": {0: _TEXT},
    "ExternalBuffer": {4: _TEXT},
    "TextOptions": {0: _TEXT},
    "CallOptions": {0: _TEXT, 2: _TEXT},
    "VariableOptions": {0: _TEXT, 1: _TEXT},
}  # fmt: skip

# The few operator options that hold text: (field of the union's type, its value) → table.
_TEXT_OPTIONS = {
    (3, schema.BuiltinOptions.VarHandleOptions): "VariableOptions",
    (11, schema.BuiltinOptions2.StablehloCustomCallOptions): "CallOptions",
    (11, schema.BuiltinOptions2.StableHLOCompositeOptions): "TextOptions",
}


class Corrupt(Exception):
    """What is wrong inside a file; `flatbuffer.parse` turns it into a ModelFileError."""


def check_structure(data: bytes) -> None:
    """Walks all tables once. Raises Corrupt or struct.error where one leads outside, or they are too many."""
    tables = 0
    text_bytes = 0

    def number(kind: str, position: int) -> int:
        # A negative position would be read from the end.
        if position < 0:
            raise Corrupt(f"an offset leads to {position}, before the file's start")
        return int(struct.unpack_from(kind, data, position)[0])

    def target(position: int) -> int:
        return position + number("<I", position)

    def vector(position: int, item_bytes: int) -> int:
        length = number("<I", position)
        if position + 4 + length * item_bytes > len(data):
            raise Corrupt(f"a list of {length} items at byte {position} ends after the file's {len(data)} bytes")
        return length

    def fields(table: int) -> Callable[[int], int | None]:
        vtable = table - number("<i", table)
        size = number("<H", vtable)
        # Reading both ends makes sure that the table and its list of fields stand inside the file.
        number("<B", vtable + max(size, 4) - 1)
        number("<B", table + max(number("<H", vtable + 2), 4) - 1)

        def field(index: int) -> int | None:
            slot = 4 + 2 * index
            offset = number("<H", vtable + slot) if slot + 2 <= size else 0
            return table + offset if offset else None

        return field

    pending = [(target(0), "Model")]
    while pending:
        table, kind = pending.pop()
        tables += 1
        field = fields(table)
        for index, content in _FIELDS[kind].items():
            position = field(index)
            if position is None:
                continue
            position = target(position)
            if content == _TEXT:
                text_bytes += vector(position, 1)
            elif isinstance(content, list):
                length = vector(position, 4)
                if tables + len(pending) + length > _MAX_TABLES:
                    raise Corrupt(f"more than {_MAX_TABLES} tables")
                pending += [(target(position + 4 + 4 * item), content[0]) for item in range(length)]
            else:
                pending.append((position, _options_kind(field, index, data) if kind == "Operator" else content))
        if tables > _MAX_TABLES or text_bytes > _MAX_TEXT_BYTES:
            raise Corrupt(f"more than {_MAX_TABLES} tables or {_MAX_TEXT_BYTES} bytes of text")


def _options_kind(field: Callable[[int], int | None], index: int, data: bytes) -> str:
    """The table that an operator's options are; a union's type stands in the field before it."""
    position = field(index - 1)
    value = data[position] if position is not None else 0
    return _TEXT_OPTIONS.get((index - 1, value), "Options")
