"""What an int8-hybrid file keeps in float: by pattern and by measurement."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from converted import converted, float_graph, images, inspected, ranges
from graphs import inspect_bytes
from vitconv.foundation.documents import convert
from vitconv.foundation.errors import UnknownNameError
from vitconv.quantization import integers, output_steps
from vitconv.quantization.hybrid import sensitivity
from vitconv.quantization.hybrid import trial as trials
from vitconv.quantization.hybrid.kept import Kept, UnitCost, keeping, matching
from vitconv.quantization.hybrid.trial import Trial
from vitconv.quantization.hybrid.units import units
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import operations

NAME = "eanet"


def graph() -> Graph:
    return float_graph(NAME, "int8-hybrid")


def trial(count: int, seed: int = 0) -> Trial:
    shown = images(NAME, count, seed=seed)
    return Trial(graph(), ranges(NAME, "int8-hybrid"), shown, output_steps.of_file(graph().data, shown))


def test_layers_have_the_model_s_own_names() -> None:
    layers = {operation.layer for operation in operations(graph())}
    assert {"embed", "block0.attention", "block7.mlp1", "block3.norm2", "pool", "head"} <= layers


def test_units_hold_no_weights_and_every_attention_has_its_own() -> None:
    found = units(graph(), weights=False)
    assert {f"block{number}.attention" for number in range(8)} <= set(found)
    assert not any(operation.has_weights for unit in found.values() for operation in unit)
    # An average over channels is a product with a kernel that nobody learnt.
    products = {
        name for name, unit in found.items() for op in unit if op.operator in ("FULLY_CONNECTED", "CONV_2D")
    }
    assert products == {f"block{number}.{norm}" for number in range(8) for norm in ("attention.norm", "norm2")}


def test_whole_units_hold_all_that_computes_and_none_is_without_weights() -> None:
    without, whole = units(graph(), weights=False), units(graph(), weights=True)
    assert "pool" in without
    assert "pool" not in whole
    assert {"head", "block0"} <= set(whole)
    assert all(any(operation.has_weights for operation in unit) for unit in whole.values())
    for name in set(without) & set(whole):
        assert {operation.tensor for operation in without[name]} < {operation.tensor for operation in whole[name]}


def test_a_pattern_keeps_whole_layers_with_their_weights_in_float() -> None:
    kept = matching(graph(), ["block0.attention"])
    file = inspect_bytes(integers.quantize(graph(), ranges(NAME, "int8-hybrid"), kept.tensors).data, "file")
    plain = inspect_bytes(integers.quantize(graph(), ranges(NAME, "int8-hybrid")).data, "plain")
    assert kept.layers == ("block0.attention",)
    # Its scores, the sums of their exponentials over a head's units, and its values.
    assert file.float_ops["CONV_2D"] == plain.float_ops.get("CONV_2D", 0) + 3
    assert file.weight_bytes["float32"] > plain.weight_bytes.get("float32", 0)


def test_between_two_float_operations_nothing_is_rounded() -> None:
    """A RESHAPE between them computes nothing, but in integers it would have its values rounded first."""
    attention = units(graph(), weights=False)["block0.attention"]
    moves = {op.tensor for op in operations(graph()) if op.operator == "RESHAPE"}
    inputs = {index for op in attention for index in op.activations}
    between = {
        op.tensor
        for op in operations(graph())
        if op.tensor in moves and op.output in inputs and {*op.activations} <= {each.output for each in attention}
    }
    assert between
    kept = keeping(graph(), [operation.tensor for operation in attention])
    assert between <= set(kept.tensors)
    assert kept.layers == ("block0.attention",)


def test_a_pattern_that_no_layer_matches_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown layer 'blok0.mlp1'. Did you mean 'block0.mlp1'"):
        matching(graph(), ["block0.*", "blok0.mlp1"])


def test_a_search_measures_every_unit_and_keeps_float_what_costs() -> None:
    """The published normalisation is what eight bits ruin, so it must be found, whatever else is."""
    kept = sensitivity.search(trial(4, seed=3))
    found = {weights: units(graph(), weights) for weights in (False, True)}
    without = {cost.unit: cost for cost in kept.units if not cost.weights}
    assert set(without) == set(found[False])
    assert {cost.unit for cost in kept.units if cost.weights} <= set(found[True])
    measured = [unit.error_added for unit in kept.units if unit.error_added is not None]
    assert measured == sorted(measured, reverse=True)
    cheap = kept.units[len(measured) :]
    assert cheap
    assert all(unit.error_added is None and unit.kept_float for unit in cheap)
    chosen = {
        operation.tensor for cost in kept.units if cost.kept_float for operation in found[cost.weights][cost.unit]
    }
    assert chosen <= set(kept.tensors)
    moved = [op for op in operations(graph()) if op.tensor in set(kept.tensors) - chosen]
    assert {op.operator for op in moved} <= {"RESHAPE", "TRANSPOSE", "SPLIT", "CONCATENATION"}
    assert any(without[f"block{number}.attention"].kept_float for number in range(8))
    assert convert(kept.to_json(), Kept) == kept


def costs_where(monkeypatch: pytest.MonkeyPatch, weights: bool, error: float, instructions: float) -> bool:
    """Whether block0 stays float where being in integers adds so much to an error of 1 and to 10 instructions."""
    whole = units(graph(), weights=True)["block0"]
    unit = [operation for operation in whole if weights or not operation.has_weights]
    tried = trial(1)
    start = () if weights else [operation.tensor for operation in unit]
    errors = iter([1.0, *[1.0 - error if weights else 1.0 + error] * 2])
    monkeypatch.setattr(trials, "answer_errors", lambda *_: np.array([next(errors)]))
    costs = iter([10.0, 10.0 - instructions if weights else 10.0 + instructions])
    monkeypatch.setattr(trials, "estimated_instructions", lambda _: next(costs))
    (cost,) = sensitivity._Pass(tried, start, weights).costs({"block0": unit}, None)
    assert cost.error_added is None or cost.error_added == pytest.approx(error)
    assert cost.instructions_added == pytest.approx(instructions)
    return cost.kept_float


def test_operations_are_float_where_the_error_is_worth_the_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    # A hundredth of the instructions is worth three hundredths of the error.
    assert costs_where(monkeypatch, False, error=0.035, instructions=-0.1)
    assert not costs_where(monkeypatch, False, error=0.025, instructions=-0.1)
    # And a thousandth is worth no measurement.
    assert costs_where(monkeypatch, False, error=-1.0, instructions=-0.0099)
    assert not costs_where(monkeypatch, False, error=-1.0, instructions=-0.0101)


def test_whole_layers_are_float_where_the_error_is_worth_cost_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    # block0's two kernels in float are 5.5 % of this file, worth 4.1 % of the error.
    assert not costs_where(monkeypatch, True, error=0.035, instructions=0.0)
    assert costs_where(monkeypatch, True, error=0.045, instructions=0.0)
    assert not costs_where(monkeypatch, True, error=0.065, instructions=-0.1)
    assert costs_where(monkeypatch, True, error=0.075, instructions=-0.1)


@pytest.mark.parametrize(
    ("errors", "looked_at"),
    [
        ([2.0] * 40, 10),  # all say the same
        ([1.5, 0.5] * 20, 10),  # 1 ± 0.17 is far above 0.04
        ([2.2, -0.2] * 20, 20),  # 1 ± 0.4, then 1 ± 0.28
        ([40.0, -39.9] * 20, 40),  # 0.05 ± 13: nobody knows
    ],
)
def test_more_images_are_looked_at_where_the_first_leave_the_choice_open(
    errors: list[float], looked_at: int
) -> None:
    """Every fourth of forty, every second, or all of them; none of them twice."""
    seen = []

    class Tried:
        images = np.zeros((40, 1, 1, 3), np.uint8)

        def errors(self, loaded: None, which: slice) -> np.ndarray:
            found = 1 + np.array(errors)[: len(range(40)[which])]
            seen.append(len(found))
            return found

    made = object.__new__(sensitivity._Pass)
    made._trial, made._weights, made._errors = Tried(), False, np.ones(40)  # type: ignore[assignment]
    made._start = SimpleNamespace(instructions=1.0)  # type: ignore[assignment]
    made._measured(UnitCost("unit", False, 1, None, -0.01, True), 0.0, None)
    assert sum(seen) == looked_at


def test_whole_layers_together_add_no_more_than_a_part_of_the_size() -> None:
    cost = UnitCost("unit", True, 1, 1.0, 0.0, True)
    other = replace(cost, kept_float=False)
    pairs = [(cost, 0.1), (other, 0.9), (cost, 0.15), (cost, 0.1), (cost, 0.05)]
    assert [one.kept_float for one in sensitivity._within(0.3, pairs)] == [True, False, True, False, True]


def test_large_units_are_not_tried() -> None:
    whole = units(graph(), weights=True)
    two = {name: whole[name] for name in ("block0", "block0.attention")}
    tried = sensitivity._Pass(trial(1), (), weights=True).costs(two, None)
    assert [cost.unit for cost in tried] == ["block0"]


def test_a_hybrid_file_holds_int8_weights_and_some_float_operations() -> None:
    file = inspected(NAME, "int8-hybrid")
    assert file.float_ops
    assert "FULLY_CONNECTED" not in file.float_ops
    assert (file.inputs[0].dtype, file.outputs[0].dtype) == ("uint8", "uint8")
    assert len(converted(NAME, "int8-hybrid")) < 0.45 * len(converted(NAME, "float32"))
