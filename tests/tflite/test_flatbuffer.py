from __future__ import annotations

import struct
import time
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from vitconv.foundation.errors import ModelFileError
from vitconv.tflite import flatbuffer

SCHEMES = ("float32", "float16", "dynamic", "int8")


def test_reading_gives_the_bytes_of_the_file(tiny_tflite: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny_tflite["int8"])
    assert flatbuffer.read(path) == tiny_tflite["int8"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"TFL3", "is not a .tflite file"),
        (b"\x1c\x00\x00\x00ONNX" + bytes(64), "is not a .tflite file: its bytes 4–8 are b'ONNX'"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is not a .tflite file"),
    ],
)
def test_a_file_that_cannot_be_a_model_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=words) as error:
        flatbuffer.read(path)
    assert str(path) in str(error.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"there is no model file .*absent\.tflite"):
        flatbuffer.read(tmp_path / "absent.tflite")
    with pytest.raises(ModelFileError, match="is a folder"):
        flatbuffer.read(tmp_path)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_serialized_computes_the_same(tiny_tflite: dict[str, bytes], scheme: str) -> None:
    rewritten = flatbuffer.serialize(flatbuffer.parse(tiny_tflite[scheme], "tiny"))
    assert np.array_equal(_run(rewritten), _run(tiny_tflite[scheme]))


def test_serializing_is_deterministic_and_stable(tiny_tflite: dict[str, bytes]) -> None:
    once = flatbuffer.serialize(flatbuffer.parse(tiny_tflite["int8"], "tiny"))
    assert flatbuffer.serialize(flatbuffer.parse(tiny_tflite["int8"], "tiny")) == once
    assert flatbuffer.serialize(flatbuffer.parse(once, "tiny")) == once


def test_weights_stay_aligned_to_sixteen_bytes(tiny_tflite: dict[str, bytes]) -> None:
    data = flatbuffer.serialize(flatbuffer.parse(tiny_tflite["float32"], "tiny"))
    start = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    buffers = [buffer.data for buffer in flatbuffer.parse(data, "tiny").buffers if buffer.data is not None]
    offsets = [vector.__array_interface__["data"][0] - start for vector in buffers if len(vector)]
    assert len(offsets) > 5
    assert all(offset % 16 == 0 for offset in offsets)


def test_bytes_behind_the_model_do_not_matter(tiny_tflite: dict[str, bytes]) -> None:
    model = flatbuffer.parse(tiny_tflite["int8"] + b"behind" * 100, "tiny")
    assert flatbuffer.serialize(model) == flatbuffer.serialize(flatbuffer.parse(tiny_tflite["int8"], "tiny"))


def test_operators_and_tensors_have_their_usual_names(tiny_tflite: dict[str, bytes]) -> None:
    model = flatbuffer.parse(tiny_tflite["int8"], "tiny")
    assert "FULLY_CONNECTED" in {flatbuffer.operator_name(code) for code in model.operatorCodes}
    source = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]
    assert flatbuffer.tensor_dtype(source) == "uint8"
    assert flatbuffer.tensor_shape(source) == (1, 16, 16, 3)
    assert flatbuffer.tensor_quantization(source) == (1.0, 0)


def test_an_operator_number_above_a_byte_is_read_from_the_newer_field() -> None:
    code = schema.OperatorCodeT(deprecatedBuiltinCode=127, builtinCode=schema.BuiltinOperator.GELU)
    assert flatbuffer.operator_name(code) == "GELU"


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_corrupt(tiny_tflite: dict[str, bytes], kept: float) -> None:
    data = tiny_tflite["float32"]
    with pytest.raises(ModelFileError, match="is corrupt"):
        flatbuffer.parse(data[: int(len(data) * kept)], "half.tflite")


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("inputs", [999], "input .999. where there are"),
        ("outputs", [-1], "output .-1. where there are"),
        ("opcodeIndex", 999, "operator code .999. where there are"),
        ("operator_inputs", [0, 999], "operator input .0, 999. where there are"),
        ("buffer", 999, "buffer .999. where there are"),
        ("type", 99, "has the unknown type 99"),
        ("shape", [1, -16, 16, 3], "has the shape"),
        ("rank", [1] * 40, "has 40 dimensions"),
        ("weights", b"short", r"needs \d+ bytes, its buffer holds 5"),
    ],
)
def test_a_reference_that_leads_nowhere_is_corrupt(
    tiny_tflite: dict[str, bytes], attribute: str, value: object, words: str
) -> None:
    model = flatbuffer.parse(tiny_tflite["float32"], "tiny")
    graph = model.subgraphs[0]
    source = graph.tensors[graph.inputs[0]]
    weights = next(tensor for tensor in graph.tensors if model.buffers[tensor.buffer].data is not None)
    if attribute in ("inputs", "outputs"):
        setattr(graph, attribute, value)
    elif attribute == "opcodeIndex":
        graph.operators[0].opcodeIndex = value
    elif attribute == "operator_inputs":
        graph.operators[0].inputs = value
    elif attribute == "weights":
        assert isinstance(value, bytes)
        model.buffers[weights.buffer].data = flatbuffer.data_vector(value)
    else:
        setattr(source, "shape" if attribute == "rank" else attribute, value)
    with pytest.raises(ModelFileError, match=words):
        flatbuffer.parse(flatbuffer.serialize(model), "mutant.tflite")


def test_a_file_without_a_graph_is_corrupt() -> None:
    with pytest.raises(ModelFileError, match="no graph"):
        flatbuffer.parse(flatbuffer.serialize(schema.ModelT(version=3)), "hollow.tflite")


def test_a_list_that_claims_billions_of_items_costs_nothing(tiny_tflite: dict[str, bytes]) -> None:
    data = bytearray(tiny_tflite["float32"])
    length = struct.pack("<I", len(flatbuffer.parse(bytes(data), "tiny").subgraphs[0].tensors))
    started = time.perf_counter()
    refused = 0
    for position in range(0, len(data) - 4, 4):
        if data[position : position + 4] == length:
            mutant = bytearray(data)
            mutant[position : position + 4] = b"\xff\xff\xff\xff"
            try:
                flatbuffer.parse(bytes(mutant), "mutant")
            except ModelFileError:
                refused += 1
    assert refused >= 1
    assert time.perf_counter() - started < 5


def test_tables_that_share_tables_cannot_multiply_without_end() -> None:
    started = time.perf_counter()
    with pytest.raises(ModelFileError, match="more than 200000 tables"):
        flatbuffer.parse(_bomb(graphs=3000, tensors=3000), "bomb.tflite")
    assert time.perf_counter() - started < 10


def test_weights_outside_the_flatbuffer_are_not_dropped_in_silence(tiny_tflite: dict[str, bytes]) -> None:
    model = flatbuffer.parse(tiny_tflite["float32"], "tiny")
    model.buffers[1].offset = 64
    with pytest.raises(ModelFileError, match="outside its flatbuffer"):
        flatbuffer.serialize(model)


def _bomb(graphs: int, tensors: int) -> bytes:
    """A small file that unpacks into graphs × tensors tables, all the same one."""
    builder = flatbuffers.Builder(0)
    tensor = schema.TensorT(name="t", shape=[1]).Pack(builder)
    schema.SubGraphStartTensorsVector(builder, tensors)
    for _ in range(tensors):
        builder.PrependUOffsetTRelative(tensor)
    vector = builder.EndVector()
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, vector)
    graph = schema.SubGraphEnd(builder)
    schema.ModelStartSubgraphsVector(builder, graphs)
    for _ in range(graphs):
        builder.PrependUOffsetTRelative(graph)
    vector = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, vector)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def _run(model: bytes) -> np.ndarray:
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    source, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    picture = np.random.default_rng(3).integers(0, 256, source["shape"]).astype(source["dtype"])
    interpreter.set_tensor(source["index"], picture)
    interpreter.invoke()
    return np.array(interpreter.get_tensor(output["index"]))
