"""Smaller files that compute the same and keep what tells their layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converted import converted
from vitconv import flatbuffer
from vitconv.compaction import compact
from vitconv.layer_names import layer_of, short_name

ANSWER = ";".join(f"net_1/norm_1/{name}" for name in ("l2_normalize", "Square", "Sum"))


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


def test_a_name_keeps_what_tells_its_layer() -> None:
    assert short_name(ANSWER) == "net_1/norm_1/l2_normalize"
    fused = "net_1/bn_1/add;net_1/bn_1/mul;net_1/conv_1/convolution"
    assert short_name(fused) == "net_1/bn_1/add;net_1/conv_1/convolution"
    for name in (ANSWER, fused, "net_1/add_1/Add", "serving_default_image:0", ""):
        assert short_name(short_name(name)) == short_name(name)
        for has_weights in (False, True):
            assert layer_of(short_name(name), has_weights) == layer_of(name, has_weights)


@pytest.mark.parametrize("name", ["eanet", "mobilevit_xxs", "mobilevit_paper_xxs"])
def test_every_computed_tensor_of_a_file_has_a_name_of_its_own(name: str) -> None:
    """Layers are compared by them."""
    names = computed(flatbuffer.parse(converted(name, "int8"), name))
    assert len(names) > 150
    assert len(set(names)) == len(names)


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
