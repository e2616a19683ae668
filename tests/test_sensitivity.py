"""What an int8-hybrid file keeps in float: by pattern and by measurement."""

from __future__ import annotations

import numpy as np
import pytest

from converted import converted, float_graph, images, inspected, ranges
from vitconv import conversion, sensitivity
from vitconv.errors import UnknownNameError
from vitconv.inspection import inspect_bytes
from vitconv.layer_names import layer_of, operations

NAME = "eanet"


def graph() -> bytes:
    return float_graph(NAME, "int8-hybrid")


def test_layers_have_the_model_s_own_names() -> None:
    layers = {operation.layer for operation in operations(graph())}
    assert {"embed", "block0.attention", "block7.mlp1", "block3.norm2", "pool", "head"} <= layers
    assert layer_of("eanet_1/block0.add1_2/Add;eanet_1/block0.mlp1_1/x", has_weights=False) == "block0.add1"
    assert layer_of("m_1/expand_bn_1/add;m_1/expand_1/convolution", has_weights=True) == "expand"
    assert layer_of("Identity", has_weights=False) == "output"


def test_units_hold_no_weights_and_every_attention_has_its_own() -> None:
    units = sensitivity.units(graph())
    assert {f"block{number}.attention" for number in range(8)} <= set(units)
    assert not any(operation.has_weights for unit in units.values() for operation in unit)
    assert not any(op.operator in ("FULLY_CONNECTED", "CONV_2D") for unit in units.values() for op in unit)


def test_a_pattern_keeps_whole_layers_with_their_weights_in_float() -> None:
    kept = sensitivity.matching(graph(), ["block0.attention"])
    file = inspect_bytes(conversion.quantize(graph(), ranges(NAME, "int8-hybrid"), kept.tensors), "file")
    plain = inspect_bytes(conversion.quantize(graph(), ranges(NAME, "int8-hybrid")), "plain")
    assert kept.layers == ("block0.attention",)
    assert file.float_ops["FULLY_CONNECTED"] == plain.float_ops.get("FULLY_CONNECTED", 0) + 2
    assert file.weight_bytes["float32"] > plain.weight_bytes.get("float32", 0)


def test_a_pattern_that_no_layer_matches_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown layer 'blok0.mlp1'. Did you mean 'block0.mlp1'"):
        sensitivity.matching(graph(), ["block0.*", "blok0.mlp1"])


def test_a_search_measures_every_unit_and_keeps_float_what_costs() -> None:
    """The published normalisation is what eight bits ruin, so it must be found, whatever else is."""
    kept = sensitivity.search(graph(), ranges(NAME, "int8-hybrid"), images(NAME, 4, seed=3))
    units = {unit.unit: unit for unit in kept.units}
    assert set(units) == set(sensitivity.units(graph()))
    assert [unit.error_added for unit in kept.units] == sorted((u.error_added for u in kept.units), reverse=True)
    assert set(kept.tensors) == {
        operation.tensor
        for name, unit in sensitivity.units(graph()).items()
        if units[name].kept_float
        for operation in unit
    }
    assert any(units[f"block{number}.attention"].kept_float for number in range(8))
    assert sensitivity.Kept.from_json(kept.to_json()) == kept


def test_a_hybrid_file_holds_int8_weights_and_some_float_operations() -> None:
    file = inspected(NAME, "int8-hybrid")
    assert file.float_ops
    assert "FULLY_CONNECTED" not in file.float_ops
    assert (file.inputs[0].dtype, file.outputs[0].dtype) == ("uint8", "uint8")
    assert len(converted(NAME, "int8-hybrid")) < 0.45 * len(converted(NAME, "float32"))


def test_the_error_is_that_of_the_two_likeliest_classes() -> None:
    expected = np.array([[0.6, 0.3, 0.1 - 1e-6, 1e-6], [0.05, 0.05, 0.1, 0.8]])
    assert sensitivity._error(expected, expected) == 0
    others = expected.copy()
    others[0, 2:] = 0.1 - 1e-3, 1e-3
    others[1, :2] = 0.0, 0.1
    assert sensitivity._error(others, expected) == 0
    swapped = expected[:, [1, 0, 3, 2]]
    by_hand = [(2 * np.log(0.6 / 0.3)) ** 2, (2 * np.log(0.8 / 0.1)) ** 2]
    assert sensitivity._error(swapped, expected) == pytest.approx(np.mean(by_hand))
    sure = np.array([[1 - 1e-5, 1e-5]])  # in eight bits: 255/256 and 0
    assert sensitivity._error(np.array([[255 / 256, 0.0]]), sure) < 1e-4
