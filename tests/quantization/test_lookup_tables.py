"""ELU between DEQUANTIZE and QUANTIZE becomes one of integers, and gives the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from handmade import Handmade, operators
from vitconv.conversion.compaction import compact
from vitconv.quantization.lookup_tables import between_conversions
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

STEPS = np.arange(-128, 128, dtype=np.int8).reshape(1, 256)
SHAPE = (1, 256)


class Quantized(Handmade):
    """A graph in which some tensors are int8."""

    def int8(self, scale: float, zero_point: int, name: str = "") -> int:
        index = self.tensor(*SHAPE, name=name)
        self.tensors[index].type = schema.TensorType.INT8
        self.tensors[index].quantization = schema.QuantizationParametersT(
            scale=np.array([scale], np.float32), zeroPoint=np.array([zero_point], np.int64)
        )
        return index

    def step(self, name: str, source: int, target: int, options: Any = None) -> int:
        self.operator(name, [source], [target], options)
        return target


def between(made: Quantized, source: int, elu: str = "layer|Elu") -> int:
    """DEQUANTIZE, ELU, QUANTIZE of an int8 tensor."""
    given = made.step("DEQUANTIZE", source, made.tensor(*SHAPE, name="tfl.dequantize"))
    raised = made.step("ELU", given, made.tensor(*SHAPE, name=elu))
    return made.step("QUANTIZE", raised, made.int8(1 / 255, 127, "tfl.quantize"), schema.QuantizeOptionsT())


def run(graph: Graph) -> list[np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=graph.data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], STEPS)
    interpreter.invoke()
    return [np.array(interpreter.get_tensor(output["index"])) for output in interpreter.get_output_details()]


def test_elu_between_conversions_becomes_one_of_integers() -> None:
    made = Quantized()
    graph = made.graph([between(made, made.int8(0.03, 127))])
    result = between_conversions(graph)
    assert operators(result) == ["ELU"]
    (given,), (expected,) = run(result), run(graph)
    # A float and a table of its roundings may differ where a value lies between two steps.
    assert np.abs(given.astype(int) - expected).max() <= 1
    assert len(np.unique(expected)) > 100
    smaller = compact(result)
    names = [flatbuffer.text(tensor.name) for tensor in smaller.model.subgraphs[0].tensors]
    assert "layer|Elu" in names
    assert not any("quantize" in name for name in names)
    np.testing.assert_array_equal(run(smaller)[0], given)


def test_what_is_to_stay_float_stays() -> None:
    made = Quantized()
    graph = made.graph([between(made, made.int8(0.03, 127))])
    assert operators(between_conversions(graph, ["layer|Elu"])) == ["DEQUANTIZE", "ELU", "QUANTIZE"]


@pytest.mark.parametrize("reader", ["of the float input", "of the float result"])
def test_what_others_read_is_kept_for_them(reader: str) -> None:
    made = Quantized()
    given = made.step("DEQUANTIZE", made.int8(0.03, 127), made.tensor(*SHAPE))
    raised = made.step("ELU", given, made.tensor(*SHAPE, name="layer|Elu"))
    stored = made.step("QUANTIZE", raised, made.int8(1 / 255, 127), schema.QuantizeOptionsT())
    read = given if reader == "of the float input" else raised
    other = made.arithmetic("ADD", read, read, SHAPE)
    graph = made.graph([stored, other])
    result = between_conversions(graph)
    if reader == "of the float input":
        assert operators(result) == ["DEQUANTIZE", "ELU", "ADD"]
    else:
        assert operators(result) == operators(graph)
    for found, expected in zip(run(result), run(graph), strict=True):
        assert np.abs(found.astype(float) - expected).max() <= 1
    assert len(run(result)) == 2


def test_a_float_elu_is_left_alone() -> None:
    made = Handmade()
    raised = made.tensor(1, 4)
    made.operator("ELU", [made.tensor(1, 4)], [raised])
    assert operators(between_conversions(made.graph([raised], inputs=(1,)))) == ["ELU"]
