"""Files put together from a float graph and the same in integers, against those of TensorFlow's quantizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from converted import float_graph, images, ranges
from vitconv.quantization import integers, output_steps
from vitconv.quantization.hybrid.mixing import Mixture
from vitconv.quantization.hybrid.units import units, with_moves
from vitconv.quantization.ranges import with_ranges
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph


def ranged(name: str) -> bytes:
    return with_ranges(float_graph(name, "int8-hybrid"), ranges(name, "int8-hybrid")).data


def whole(name: str) -> Graph:
    return integers.quantize_inside(ranged(name))


def mixture_of(name: str) -> Mixture:
    found = Mixture.of(float_graph(name, "int8-hybrid"), whole(name))
    assert found is not None
    return found


def kinds(graph: Graph) -> Counter[tuple[str, str]]:
    """How often each operator gives each type."""
    model = graph.model
    names = flatbuffer.operator_names(model)
    tensors = model.subgraphs[0].tensors
    return Counter(
        (names[op.opcodeIndex], flatbuffer.tensor_dtype(tensors[flatbuffer.outputs(op)[0]]))
        for op in model.subgraphs[0].operators
    )


def choices(name: str) -> dict[str, Iterable[str]]:
    """What a search may keep in float."""
    graph = float_graph(name, "int8-hybrid")
    without, with_weights = (units(graph, weights) for weights in (False, True))
    every = {op.tensor for unit in without.values() for op in unit}
    first = next(iter(without))
    return {
        "all without weights": every,
        "all but one, and the output": {
            *every - {op.tensor for op in without[first]},
            output_steps.output_of(graph),
        },
        "whole layers": {op.tensor for unit in list(with_weights)[1::3] for op in with_weights[unit]},
    }


@pytest.mark.parametrize("name", ["eanet", "mobilevit_xxs"])
def test_a_mixture_is_what_the_quantizer_makes(name: str) -> None:
    """But for one thing: of a float product and a constant that is subtracted from it, it makes one operation.
    That rounds otherwise by a digit, and what is quantized next by a step."""
    mixture, shown = mixture_of(name), images(name, 2)
    for what, kept in choices(name).items():
        moved = with_moves(mixture.floats, kept)
        mixed, quantized = mixture.mixed(moved), integers.quantize_inside(ranged(name), moved)
        more = kinds(mixed) - kinds(quantized)
        assert not kinds(quantized) - kinds(mixed), what
        assert set(more) <= {("SUB", "float32")}, what
        answers = [output_steps.of_file(graph.data, shown) for graph in (mixed, quantized)]
        assert np.abs(answers[0] - answers[1]).max() <= (2 * output_steps.STEP if more else 0), what
        assert len(mixed.data) == pytest.approx(len(quantized.data), rel=0.1), what


def test_the_two_graphs_stay_as_they_are() -> None:
    mixture = mixture_of("eanet")
    before = [flatbuffer.serialize(graph.model) for graph in (mixture.floats, mixture.integers)]
    mixture.mixed(choices("eanet")["all without weights"])
    assert [flatbuffer.serialize(graph.model) for graph in (mixture.floats, mixture.integers)] == before


def test_graphs_that_do_not_stand_operation_for_operation_are_not_mixed() -> None:
    floats, integer = float_graph("eanet", "int8-hybrid"), whole("eanet")
    shorter, other, swapped = (Graph(integer.draft(), "changed") for _ in range(3))
    names = flatbuffer.operator_names(integer.model)
    inner = [
        i for i, op in enumerate(integer.model.subgraphs[0].operators) if "QUANTIZE" not in names[op.opcodeIndex]
    ]
    del shorter.model.subgraphs[0].operators[inner[3]]
    renamed = other.model.subgraphs[0].operators[inner[3]]
    renamed.opcodeIndex = next(index for index, name in enumerate(names) if name != names[renamed.opcodeIndex])
    tensors = swapped.model.subgraphs[0].tensors
    differs = next(
        op
        for op in swapped.model.subgraphs[0].operators
        if flatbuffer.text(tensors[op.outputs[0]].name) == "block0.add1|ADD"
    )
    differs.inputs = differs.inputs[::-1]
    assert Mixture.of(floats, integer) is not None
    for changed in (shorter, other, swapped):
        assert Mixture.of(floats, changed) is None
