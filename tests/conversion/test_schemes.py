"""What a scheme promises is checked: each way to break a promise turns the check red."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as schema

from converted import converted, inspected
from graphs import inspect_bytes
from vitconv.conversion import schemes
from vitconv.conversion.schemes import SCHEMES, scheme_of
from vitconv.foundation.errors import PromiseError, UnknownNameError
from vitconv.tflite import flatbuffer
from vitconv.tflite.inspection import Inspection


def changed(scheme: str, change: Callable[[Any], None]) -> Inspection:
    """EANet's file of a scheme after `change` of its objects (schema.ModelT)."""
    model = flatbuffer.parse(converted("eanet", scheme), scheme)
    change(model)
    return inspect_bytes(flatbuffer.serialize(model), scheme)


def activation(model: Any) -> Any:
    """A tensor between two operators in the middle of the graph."""
    graph = model.subgraphs[0]
    operator = graph.operators[len(graph.operators) // 2]
    return graph.tensors[operator.outputs[0]]


def source(model: Any) -> Any:
    return model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]


def target(model: Any) -> Any:
    return model.subgraphs[0].tensors[model.subgraphs[0].outputs[0]]


@pytest.mark.parametrize("offered", list(SCHEMES))
@pytest.mark.parametrize("name", list(SCHEMES))
def test_a_file_keeps_the_promises_of_its_own_scheme_only(name: str, offered: str) -> None:
    file = inspected("eanet", offered)
    if name == offered or (name, offered) == ("int8-hybrid", "int8"):  # what may be float need not be
        schemes.find(name).check(file)
    else:
        with pytest.raises(PromiseError, match=f"does not keep the promises of {name}"):
            schemes.find(name).check(file)


def test_a_float_operator_in_an_integer_file_is_noticed() -> None:
    def change(model: Any) -> None:
        activation(model).type = schema.TensorType.FLOAT32

    with pytest.raises(PromiseError, match=r"it computes in float: .*; it holds float tensors"):
        schemes.find("int8").check(changed("int8", change))


def test_an_operator_that_quantization_left_in_float_is_noticed() -> None:
    from tensorflow.lite.python.convert import _types_pb2, mlir_quantize

    from converted import float_graph, ranges
    from vitconv.quantization.ranges import with_ranges

    graph = with_ranges(float_graph("eanet", "int8"), ranges("eanet")).data
    data = mlir_quantize(
        graph,
        inference_type=_types_pb2.QUANTIZED_INT8,
        input_data_type=_types_pb2.INT8,
        output_data_type=_types_pb2.INT8,
        denylisted_ops=["SOFTMAX"],
        fully_quantize=True,
    )
    with pytest.raises(PromiseError, match=r"it computes in float: .*SOFTMAX"):
        schemes.find("int8").check(inspect_bytes(bytes(data), "int8"))


@pytest.mark.parametrize("name", ["int8", "int8-hybrid"])
def test_float_probabilities_are_what_was_asked_for_and_nothing_else(name: str) -> None:
    from converted import float_graph, kept_float, ranges
    from vitconv.quantization import integers

    graph = float_graph("eanet", name)
    data = integers.quantize(graph, ranges("eanet", name), kept_float("eanet", name), True).data
    file = inspect_bytes(data, name)
    asked = schemes.find(name).giving("float32")
    asked.check(file)
    with pytest.raises(PromiseError, match="its output is float32, not uint8"):
        schemes.find(name).check(file)
    with pytest.raises(PromiseError, match="its output is uint8, not float32"):
        asked.check(inspected("eanet", name))
    if asked.integers_only:
        with pytest.raises(PromiseError, match="it computes in float: SOFTMAX"):
            asked.check(replace(file, float_ops={"DEQUANTIZE": 1, "SOFTMAX": 2}))
        with pytest.raises(PromiseError, match="it computes in float: CONV_2D"):
            asked.check(replace(file, float_ops={"CONV_2D": 1, "SOFTMAX": 1}))


def test_files_that_are_float_anyway_are_the_same_with_either_kind_of_probabilities() -> None:
    for name in ("float32", "float16", "dynamic"):
        assert schemes.find(name).giving("float32") == schemes.find(name)
    with pytest.raises(UnknownNameError, match="unknown kind of probabilities 'int8'"):
        schemes.check_probabilities("int8")


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_a_shape_that_is_not_fixed_is_noticed(scheme: str) -> None:
    def change(model: Any) -> None:
        source(model).shapeSignature = [-1, 32, 32, 3]

    with pytest.raises(PromiseError, match="tensors whose shape is not fixed"):
        schemes.find(scheme).check(changed(scheme, change))


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_a_batch_of_two_is_noticed(scheme: str) -> None:
    def change(model: Any) -> None:
        source(model).shape = [2, 32, 32, 3]

    with pytest.raises(PromiseError, match=r"its input has the shape \[2, 32, 32, 3\], not batch 1"):
        schemes.find(scheme).check(changed(scheme, change))


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_five_dimensions_are_noticed(scheme: str) -> None:
    def change(model: Any) -> None:
        activation(model).shape = [1, 1, 16, 16, 64]

    with pytest.raises(PromiseError, match="a tensor of 5 dimensions, more than 4"):
        schemes.find(scheme).check(changed(scheme, change))


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_a_flex_operator_is_noticed(scheme: str) -> None:
    def change(model: Any) -> None:
        code = model.operatorCodes[model.subgraphs[0].operators[0].opcodeIndex]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = "FlexErf"

    with pytest.raises(PromiseError, match="ops outside TFLite's own: FlexErf"):
        schemes.find(scheme).check(changed(scheme, change))


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_an_operator_too_new_for_android_is_noticed(scheme: str) -> None:
    def change(model: Any) -> None:
        for code in model.operatorCodes:
            if flatbuffer.operator_name(code) == "FULLY_CONNECTED":
                code.version = 12

    with pytest.raises(PromiseError, match=r"needs TFLite .*, newer than Android's 2\.16\.1"):
        schemes.find(scheme).check(changed(scheme, change))


@pytest.mark.parametrize(("scale", "zero_point"), [(1 / 255, 0), (1.0, 1), (255 / 254, 0)])
def test_an_integer_input_that_is_not_the_raw_pixel_is_noticed(scale: float, zero_point: int) -> None:
    def change(model: Any) -> None:
        source(model).quantization.scale = [scale]
        source(model).quantization.zeroPoint = [zero_point]

    with pytest.raises(PromiseError, match="not 1 and 0 for raw pixels"):
        schemes.find("int8").check(changed("int8", change))


def test_an_integer_file_with_signed_ends_is_noticed() -> None:
    def change(model: Any) -> None:
        source(model).type = target(model).type = schema.TensorType.INT8

    with pytest.raises(PromiseError, match="its input is int8, not uint8; its output is int8, not uint8"):
        schemes.find("int8").check(changed("int8", change))


def test_dynamic_range_that_left_most_weights_in_float_is_noticed() -> None:
    file = inspected("eanet", "dynamic")
    sizes = {"int8": 100, "float32": 4 * 101}
    with pytest.raises(PromiseError, match="its weights are 50% int8, 50% float32, not int8"):
        schemes.find("dynamic").check(replace(file, weight_bytes=sizes))
    schemes.find("dynamic").check(replace(file, weight_bytes={"int8": 101, "float32": 4 * 100}))


def test_every_broken_promise_is_named() -> None:
    def change(model: Any) -> None:
        source(model).shape = [2, 32, 32, 3]
        activation(model).shape = [1, 1, 16, 16, 64]

    with pytest.raises(PromiseError, match=r"not batch 1; .*5 dimensions") as caught:
        schemes.find("float32").check(changed("float32", change))
    assert caught.value.exit_status == 1


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown scheme 'int9'. Did you mean 'int8'"):
        schemes.find("int9")


# --- one place that knows them ---

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("mobilevit_xxs-tf_flowers-int8-hybrid.tflite", "int8-hybrid"),
        ("mobilevit_xxs-tf_flowers-int8.tflite", "int8"),
        ("eanet-digits-float16.tflite", "float16"),
        ("eanet-digits.tflite", None),
        ("int8.tflite", None),
        ("mobilenet-hybrid.tflite", None),
    ],
)
def test_the_scheme_comes_from_the_files_name(name: str, scheme: str | None) -> None:
    assert scheme_of(Path("some-int8") / name) == scheme


def test_the_app_knows_the_same_schemes_in_the_same_order() -> None:
    (source,) = (ROOT / "android-app").rglob("Schemes.kt")
    (listed,) = re.findall(r"val schemes = listOf\(([^)]*)\)", source.read_text(encoding="utf-8"))
    assert re.findall(r'"([^"]+)"', listed) == list(SCHEMES)


def test_no_other_module_or_script_has_a_list_of_schemes_of_its_own() -> None:
    """Two names or more in one literal, of which int8 and float32 may be types of numbers."""
    found = []
    scripts = [path for path in (ROOT / "scripts").iterdir() if path.is_file() and _is_python(path)]
    for path in [*(ROOT / "converter" / "vitconv").rglob("*.py"), *scripts]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
            names = {part.value for part in parts if isinstance(part, ast.Constant)} & set(SCHEMES)
            if len(names) > 1 and names & {"dynamic", "int8-hybrid"} and path.name not in MAY:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {sorted(names)}")
    assert found == []


# The scripts name what other tools make, to set beside ours.
MAY = {"schemes.py", "compare-with-litert-torch", "compare-with-peers", "quantizer_peer.py"}


def _is_python(path: Path) -> bool:
    return path.suffix == ".py" or b"python" in path.read_bytes().split(b"\n", 1)[0]


def test_what_a_scheme_is_follows_from_its_numbers() -> None:
    assert [name for name, scheme in SCHEMES.items() if scheme.exact] == ["float32"]
    assert [name for name, scheme in SCHEMES.items() if scheme.one_partition] == ["float32", "float16"]
    assert [name for name, scheme in SCHEMES.items() if scheme.on_the_fly] == ["dynamic"]
    assert [name for name, scheme in SCHEMES.items() if scheme.needs_calibration] == ["int8", "int8-hybrid"]
    assert [name for name, scheme in SCHEMES.items() if scheme.integers_only] == ["int8"]
    assert len({scheme.marker for scheme in SCHEMES.values()}) == len(SCHEMES)
