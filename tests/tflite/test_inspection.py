from __future__ import annotations

import hashlib
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as schema

from graphs import inspect_bytes, with_metadata
from tflite.test_metadata import TINY, bare, damage, with_archive
from vitconv.foundation.errors import ModelFileError
from vitconv.tflite import flatbuffer
from vitconv.tflite.inspection import Inspection, TensorInfo, inspect
from vitconv.tflite.runtime_versions import ANDROID_RELEASE, first_release

# What `vitconv inspect --json` promises to scripts.
FIELDS = [
    "path", "bytes", "sha256", "inputs", "outputs", "ops", "op_count", "max_rank", "flex_ops", "float_ops",
    "runtime_needed", "metadata", "problems", "gpu",
]  # fmt: skip


def test_a_file_is_described_completely(tiny_tflite: dict[str, bytes], tmp_path: Path) -> None:
    data = with_metadata(tiny_tflite["int8"], TINY)
    path = tmp_path / "tiny.tflite"
    path.write_bytes(data)
    found = inspect(path)
    assert (found.path, found.bytes, found.sha256) == (
        str(path), len(data), hashlib.sha256(data).hexdigest(),
    )  # fmt: skip
    assert found.inputs == (TensorInfo(found.inputs[0].name, (1, 16, 16, 3), "uint8", 1.0, 0),)
    assert found.outputs == (TensorInfo(found.outputs[0].name, (1, 5), "uint8", 1 / 256, 0),)
    assert {name: op["count"] for name, op in found.ops.items()} == {
        "CONV_2D": 1, "FULLY_CONNECTED": 2, "QUANTIZE": 2, "RESHAPE": 1, "SOFTMAX": 1,
    }  # fmt: skip
    assert found.op_count == 7
    assert found.max_rank == 4
    assert found.metadata == TINY.to_json()
    assert found.problems == []


def test_the_document_has_the_promised_fields_and_is_json(tiny_tflite: dict[str, bytes]) -> None:
    document = inspect_bytes(with_metadata(tiny_tflite["float32"], TINY), "tiny").to_json()
    assert list(document) == FIELDS
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_float_and_integer_files_are_told_apart(tiny_tflite: dict[str, bytes]) -> None:
    found = {scheme: inspect_bytes(data, scheme) for scheme, data in tiny_tflite.items()}
    assert {scheme: one.all_integer for scheme, one in found.items()} == {
        "float32": False, "float16": False, "dynamic": False, "int8": True,
    }  # fmt: skip
    assert found["int8"].float_ops == {}
    assert found["int8"].tensor_dtypes == {"uint8", "int8", "int32"}
    assert found["float32"].float_ops == {"CONV_2D": 1, "FULLY_CONNECTED": 2, "RESHAPE": 1, "SOFTMAX": 1}
    assert found["float16"].float_ops["DEQUANTIZE"] == 4


def test_the_weights_are_those_of_the_scheme(tiny_tflite: dict[str, bytes]) -> None:
    found = {scheme: inspect_bytes(data, scheme).weight_bytes for scheme, data in tiny_tflite.items()}
    convolution, dense, classes = 8 * 3 * 3 * 3, 7 * 7 * 8 * 32, 32 * 5
    everything = convolution + dense + classes
    assert found["float32"] == {"float32": 4 * everything}
    assert found["float16"] == {"float16": 2 * everything}
    assert found["int8"] == {"int8": everything}
    # The converter leaves small weights in float.
    assert found["dynamic"] == {"float32": 4 * (convolution + classes), "int8": dense}


def test_per_channel_dense_weights_need_a_newer_runtime_than_androids(tiny_tflite: dict[str, bytes]) -> None:
    found = inspect_bytes(with_metadata(tiny_tflite["dynamic"], TINY), "tiny")
    assert found.ops["FULLY_CONNECTED"]["version"] == 12
    assert found.runtime_needed == "2.17.0"
    assert not found.loads_on(ANDROID_RELEASE)
    assert found.loads_on((2, 17, 0))
    (problem,) = found.problems
    assert problem.startswith("FULLY_CONNECTED version 12 needs TFLite 2.17.0")


def test_the_other_schemes_load_on_android(tiny_tflite: dict[str, bytes]) -> None:
    for scheme in ("float32", "float16", "int8"):
        found = inspect_bytes(tiny_tflite[scheme], scheme)
        assert found.loads_on(ANDROID_RELEASE), scheme
        assert found.runtime_needed.count(".") == 2


@pytest.mark.parametrize(
    ("operator", "version", "release"),
    [
        ("FULLY_CONNECTED", 9, (2, 3, 0)),
        ("FULLY_CONNECTED", 12, (2, 17, 0)),
        ("CONV_2D", 1, (1, 5, 0)),
        ("BATCH_MATMUL", 4, (2, 5, 0)),
        ("TRANSPOSE", 7, (2, 14, 4)),
        ("BROADCAST_TO", 1, None),
        ("BROADCAST_TO", 2, (2, 5, 0)),
        ("GELU", 3, None),
        ("NO_SUCH", 1, None),
    ],
)
def test_releases_are_those_of_tensorflows_own_list(
    operator: str, version: int, release: tuple[int, int, int] | None
) -> None:
    assert first_release(operator, version) == release


def test_every_operator_in_the_list_of_releases_exists() -> None:
    from vitconv.tflite import runtime_versions

    names = {name for name in vars(schema.BuiltinOperator) if name.isupper()}
    assert {name for name, _ in runtime_versions._TABLE} <= names


def test_a_version_that_nobody_knows_is_named(tiny_tflite: dict[str, bytes]) -> None:
    model = flatbuffer.parse(tiny_tflite["float32"], "tiny")
    _code(model, "SOFTMAX").version = 77
    found = _inspect(model)
    assert found.runtime_needed == "unknown (SOFTMAX v77)"
    assert not found.loads_on((99, 0, 0))
    assert any("SOFTMAX version 77 is not in this program's list" in problem for problem in found.problems)


def test_flex_and_other_custom_operators_are_problems(tiny_tflite: dict[str, bytes]) -> None:
    model = flatbuffer.parse(tiny_tflite["float32"], "tiny")
    for name, custom in (("SOFTMAX", "FlexErf"), ("RESHAPE", "MyOwn")):
        code = _code(model, name)
        code.deprecatedBuiltinCode = code.builtinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = custom
    found = _inspect(model)
    assert found.flex_ops == ["FlexErf"]
    assert {"FlexErf", "MyOwn"} <= set(found.ops)
    assert any("Flex runtime" in problem and "FlexErf" in problem for problem in found.problems)
    assert any("custom operators" in problem and "MyOwn" in problem for problem in found.problems)
    assert not found.loads_on(ANDROID_RELEASE)


def test_shapes_that_delegates_refuse_are_problems(tiny_tflite: dict[str, bytes]) -> None:
    model = flatbuffer.parse(tiny_tflite["float32"], "tiny")
    graph = model.subgraphs[0]
    source = graph.tensors[graph.inputs[0]]
    source.shape, source.shapeSignature = [8, 16, 16, 3], [-1, 16, 16, 3]
    graph.tensors[graph.outputs[0]].shape = [1, 1, 1, 1, 5]
    found = _inspect(model)
    assert found.has_dynamic_shapes
    assert found.max_rank == 5
    words = " ".join(found.problems)
    assert "known only when the model runs" in words
    assert "5 dimensions; GPU delegates take no more than 4" in words
    assert "takes 8 pictures at once" in words


def test_missing_metadata_are_a_problem(tiny_tflite: dict[str, bytes]) -> None:
    found = inspect_bytes(tiny_tflite["float32"], "tiny")
    assert found.metadata is None
    assert any("no metadata" in problem for problem in found.problems)


def test_labels_that_do_not_fit_the_outputs_are_a_problem(tiny_tflite: dict[str, bytes]) -> None:
    mutant = with_archive(bare(tiny_tflite["float32"]), {"labels.txt": "one\ntwo\nthree\n"})
    found = inspect_bytes(mutant, "tiny")
    assert "Its 3 labels do not fit its 5 outputs." in found.problems
    assert found.metadata is not None


def test_broken_metadata_are_a_problem_and_not_the_end(tiny_tflite: dict[str, bytes]) -> None:
    data = with_metadata(tiny_tflite["float32"], TINY)
    found = inspect_bytes(data[: data.index(b"PK\x03\x04")], "tiny")
    assert found.metadata is None
    assert any("metadata cannot be read" in problem for problem in found.problems)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"absent\.tflite"):
        inspect(tmp_path / "absent.tflite")


@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_random_damage_gives_an_answer_or_a_clear_error(tiny_tflite: dict[str, bytes], scheme: str) -> None:
    sound = with_metadata(tiny_tflite[scheme], TINY)
    chance = random.Random(30)
    answers, slowest = 0, 0.0
    for _ in range(600):
        mutant = damage(sound, chance)
        started = time.perf_counter()
        try:
            json.dumps(inspect_bytes(mutant, "mutant").to_json(), allow_nan=False)
            answers += 1
        except ModelFileError:
            pass
        slowest = max(slowest, time.perf_counter() - started)
    assert 0 < answers < 600
    assert slowest < 5


def _code(model: Any, name: str) -> Any:
    return next(code for code in model.operatorCodes if flatbuffer.operator_name(code) == name)


def _inspect(model: Any) -> Inspection:
    return inspect_bytes(flatbuffer.serialize(model), "mutant")
