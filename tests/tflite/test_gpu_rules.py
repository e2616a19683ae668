"""The rules of TFLite 2.16.1's GPU delegate against what its own library says of 278 operations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from handmade import Handmade
from tflite.gpu_cases import Case, cases, image, weights
from vitconv.tflite.gpu_rules import not_for_gpus
from vitconv.tflite.gpu_support import GpuSupport, gpu_support
from vitconv.tflite.inspection import inspect_graph

LIBRARY = json.loads((Path(__file__).parent / "gpu_delegate_2_16_1.json").read_text(encoding="utf-8"))
ANSWERS: dict[str, str | None] = LIBRARY["answers"]
CASES = cases()


@pytest.mark.parametrize("name", ANSWERS)
def test_the_rules_say_what_the_library_says(name: str) -> None:
    found = list(not_for_gpus(CASES[name].graph))
    assert bool(found) == (ANSWERS[name] is not None), (ANSWERS[name], found)


def test_newer_versions_of_an_operator_are_refused_as_by_the_library() -> None:
    taken = [case for name, case in CASES.items() if ANSWERS.get(name, "") is None]
    newest = LIBRARY["newest_versions"]
    for case in {case.operator: case for case in taken}.values():
        for version in range(1, 10):
            found = list(not_for_gpus(replace(case, version=version).graph))
            assert bool(found) == (version > newest.get(case.operator, 99)), (case.operator, version)


def support(operator: str, *inputs: object, options: object = None) -> GpuSupport:
    case = Case(operator, operator, inputs, (image(1, 4, 4, 8),), options)  # type: ignore[arg-type]
    return gpu_support(case.graph)


def test_what_is_refused_is_named_with_layer_and_reason() -> None:
    (gap,) = support("SPLIT_V", image(1, 4, 4, 8)).gaps
    assert str(gap) == "SPLIT_V in layer (the delegate does not know it)"
    (gap,) = support("SOFTMAX", image(1, 4, 4, 8), options=schema.SoftmaxOptionsT(beta=2.0)).gaps
    assert (gap.reason, gap.effect) == ("it takes a beta of 1 only", "refused")


def test_over_a_constant_batch_of_matrices_the_delegate_fails_altogether() -> None:
    options = schema.BatchMatMulOptionsT()
    found = support("BATCH_MATMUL", image(1, 4, 4, 8), weights(1, 4, 8, 8), options=options)
    assert (found.taken, found.gaps[0].effect) == (0, "fails")
    assert support("BATCH_MATMUL", image(1, 4, 4, 8), weights(8, 8), options=options).whole


def test_a_negative_slope_is_taken_and_computed_wrongly() -> None:
    for slope, whole in ((0.0, True), (0.3, True), (1.0, True), (-0.1, False), (1.1, False), (-1.0, False)):
        found = support("LEAKY_RELU", image(1, 4, 4, 8), options=schema.LeakyReluOptionsT(alpha=slope))
        assert found.whole == whole
        assert found.taken == 1
        assert bool(found.wrong) != whole


def test_of_a_graph_with_shapes_that_are_known_late_nothing_is_taken() -> None:
    graph = Handmade()
    source = graph.tensor(1, 4, 4, 8)
    graph.tensors[source].shapeSignature = np.array([-1, 4, 4, 8], np.int32)
    result = graph.tensor(1, 4, 4, 8)
    graph.operator("ABS", [source], [result])
    assert gpu_support(graph.graph([result])).taken == 0


def test_of_a_graph_that_is_cut_only_the_largest_part_is_taken() -> None:
    graph = Handmade()
    tensor = graph.tensor(1, 4, 4, 8)
    for name in ("ABS", "EXP", "ROUND", "ABS", "EXP", "ABS", "ROUND", "ABS"):
        result = graph.tensor(1, 4, 4, 8)
        graph.operator(name, [tensor], [result])
        tensor = result
    found = gpu_support(graph.graph([tensor]))
    assert (found.taken, found.operations, found.gaps[0].count) == (3, 8, 2)


def test_what_the_delegate_fails_over_does_no_harm_where_it_stays_outside() -> None:
    def subtracted(refused: str) -> GpuSupport:
        graph = Handmade()
        first, second, third = (graph.tensor(1, 4, 4, 8) for _ in range(3))
        graph.operator("SUB", [first, first], [second])
        graph.operator(refused, [second], [third])
        for _ in range(2):
            last = graph.tensor(1, 4, 4, 8)
            graph.operator("ABS", [third], [last])
            third = last
        return gpu_support(graph.graph([third]))

    assert subtracted("ABS").taken == 0
    assert subtracted("ROUND").taken == 2


def test_weights_in_16_bits_are_weights() -> None:
    graph = Handmade()
    source = graph.tensor(1, 4, 4, 8)
    narrow = graph.constant(np.ones((8, 1, 1, 8)))
    kernel, bias = graph.tensor(8, 1, 1, 8), graph.constant(np.ones(8))
    graph.operator("DEQUANTIZE", [narrow], [kernel])
    assert gpu_support(graph.graph([graph.convolution(source, kernel, bias, (1, 4, 4, 8))])).whole


def test_kinds_are_counted_and_inspect_has_them() -> None:
    graph = Handmade()
    tensor = graph.tensor(1, 4, 4, 8)
    for number in range(3):
        result = graph.tensor(1, 4, 4, 8, name=f"layer{number}|ROUND")
        graph.operator("ROUND", [tensor], [result])
        tensor = result
    result = graph.tensor(1, 4, 4, 8)
    graph.operator("ABS", [tensor], [result])
    found = inspect_graph(graph.graph([result]))
    assert str(found.gpu.gaps[0]) == "ROUND in layer0 and 2 more (the delegate does not know it)"
    assert found.to_json()["gpu"] == {
        "operations": 4,
        "taken": 1,
        "gaps": [
            {
                "operator": "ROUND",
                "reason": "the delegate does not know it",
                "layer": "layer0",
                "count": 3,
                "effect": "refused",
            }
        ],
    }
