"""Smaller files that compute the same and keep what tells their layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converted import converted, float_graph
from vitconv.conversion.compaction import compact
from vitconv.tflite import flatbuffer
from vitconv.tflite.layer_names import layer_of, operations, short_name


def run(data: bytes, picture: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    interpreter.set_tensor(source["index"], picture[np.newaxis].astype(source["dtype"]))
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def computed(model: Any) -> list[str]:
    return [flatbuffer.text(tensor.name) for tensor in model.subgraphs[0].tensors if tensor.name]


@pytest.mark.parametrize("scheme", ["float32", "float16", "dynamic", "int8"])
def test_any_model_computes_the_same_in_fewer_bytes(tiny_tflite: dict[str, bytes], scheme: str) -> None:
    before = tiny_tflite[scheme]
    after = compact(before)
    assert len(after) < len(before)
    assert compact(after) == after
    pictures = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    for picture in pictures:
        np.testing.assert_array_equal(run(after, picture), run(before, picture))


def test_what_the_converter_writes_for_later_readers_is_kept(tiny_tflite: dict[str, bytes]) -> None:
    def notes(data: bytes) -> dict[str, bytes]:
        model = flatbuffer.parse(data, "tiny")
        return {flatbuffer.text(item.name): bytes(model.buffers[item.buffer].data) for item in model.metadata}

    assert notes(tiny_tflite["int8"])["min_runtime_version"]
    assert notes(compact(tiny_tflite["int8"])) == notes(tiny_tflite["int8"])


def test_a_short_name_is_the_layer_and_the_operation_in_it() -> None:
    assert short_name("net_1/block0.add_2/Add", False) == "block0.add|Add"
    assert short_name("net_1/dense_1_3/Tensordot/MatMul", True) == "dense_1|Tensordot/MatMul"
    fused = "net_1/bn_1/add;net_1/bn_1/mul;net_1/conv_1/convolution"
    assert short_name(fused, has_weights=False) == "bn|add"
    assert short_name(fused, has_weights=True) == "conv|convolution"
    for name in (fused, "serving_default_image:0", "tfl.quantize", "Identity", ""):
        assert short_name(short_name(name, False), False) == short_name(name, False)


def test_a_short_name_tells_its_layer() -> None:
    assert layer_of("block0.add|Add") == "block0.add"
    assert layer_of("Identity") == "output"


@pytest.mark.parametrize("name", ["eanet", "mobilevit_xxs", "mobilevit_paper_xxs"])
def test_every_computed_tensor_of_a_float_graph_has_a_name_of_its_own(name: str) -> None:
    """Ranges go by them."""
    names = computed(flatbuffer.parse(float_graph(name, "int8"), name))
    assert len(names) > 150
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["eanet", "mobilevit_xxs", "mobilevit_paper_xxs"])
def test_what_a_layer_gives_keeps_its_name_in_an_integer_file(name: str) -> None:
    """Layers are compared by them. What stays inside a layer is called after it alone."""
    names = computed(flatbuffer.parse(converted(name, "int8"), name))
    of_its_own = [tensor for tensor in names if not tensor.endswith("|")]
    assert len(set(of_its_own)) == len(of_its_own)
    assert len(set(names)) < 0.7 * len(names)
    graph = list(operations(float_graph(name, "int8")))
    outputs = {operation.output: operation for operation in graph}
    given = {
        outputs[tensor].tensor
        for operation in graph
        for tensor in operation.activations
        if tensor in outputs and outputs[tensor].layer != operation.layer
    }
    assert len(given) > 40
    assert given <= set(of_its_own)
    assert {layer_of(tensor) for tensor in names} >= {operation.layer for operation in graph}


def test_zero_points_of_channels_are_written_once() -> None:
    """Eight bytes each, all zero, for every channel of every kernel and bias."""
    data = converted("eanet", "int8")
    model = flatbuffer.parse(data, "eanet")
    starts = [
        tensor.quantization.zeroPoint.__array_interface__["data"][0]
        for tensor in model.subgraphs[0].tensors
        if tensor.quantization is not None
        and tensor.quantization.zeroPoint is not None
        and len(tensor.quantization.zeroPoint) == 64
    ]
    assert len(starts) > 10
    assert len(set(starts)) == 1
