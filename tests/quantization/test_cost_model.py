"""Estimated instructions, against those that were counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from handmade import Handmade
from shipped import shipped_file
from vitconv.quantization.cost_model import estimated_instructions, instructions_by_layer
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import operations

COUNTED = json.loads((Path(__file__).parents[1] / "runtimes" / "arm64_instructions.json").read_text())


@pytest.mark.parametrize("scheme", ["float32", "float16", "dynamic", "int8"])
@pytest.mark.parametrize("name", ["mobilevit_xxs", "eanet"])
def test_the_estimate_is_near_what_was_counted(name: str, scheme: str) -> None:
    """The networks differ by a factor of ten, their float and integer files by two to three."""
    estimate = estimated_instructions(Graph.parse(shipped_file(name, scheme), name))
    assert estimate == pytest.approx(COUNTED[name][scheme]["max"], rel=0.15)


@pytest.mark.parametrize("scheme", ["float32", "int8-hybrid"])
def test_layers_share_the_whole_cost(scheme: str) -> None:
    file = Graph.parse(shipped_file("eanet", scheme), scheme)
    layers = instructions_by_layer(file)
    assert sum(layers.values()) == pytest.approx(estimated_instructions(file))
    named = {operation.layer for operation in operations(file)}
    assert set(layers) <= named | {""}
    assert layers.get("", 0.0) < 0.01 * sum(layers.values())
    for number in range(8):  # the attention's map is four times as wide as the MLP
        assert layers[f"block{number}.attention"] > 3 * layers[f"block{number}.mlp2"]


def test_a_convolution_costs_its_multiply_adds_and_an_operator_its_values() -> None:
    made = Handmade()
    image = made.tensor(1, 8, 8, 3)
    kernel, bias = made.constant(np.ones((16, 3, 3, 3))), made.constant(np.zeros(16))
    filtered = made.convolution(image, kernel, bias, (1, 8, 8, 16), same=True)
    alone = estimated_instructions(made.graph([filtered]))
    assert alone == pytest.approx(8 * 8 * 16 * (27 * 0.3 + 1))
    doubled = made.arithmetic("MUL", filtered, made.constant(2.0), (1, 8, 8, 16))
    assert estimated_instructions(made.graph([doubled])) == pytest.approx(alone + 2 * 8 * 8 * 16)


def test_an_operator_without_a_cost_of_its_own_is_as_slow_as_one_value_after_the_other() -> None:
    made = Handmade()
    image = made.tensor(1, 8, 8, 3)
    output = made.tensor(1, 8, 8, 3)
    made.operator("SIN", [image], [output])
    assert estimated_instructions(made.graph([output])) == 10 * 8 * 8 * 3
