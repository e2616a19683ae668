"""Ranges of graphs that other tools write."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from handmade import Handmade
from vitconv.conversion.compaction import compact
from vitconv.conversion.folding import fold_pixel_scaling
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.quantization import ranges
from vitconv.quantization.ranges import measure_ranges, structure_digest, with_ranges
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import operations

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
SHAPE = (1, 4, 4, 3)


def halved(*, others: int = 0, empty: bool = False) -> Graph:
    """Half of a picture; with further subgraphs, or a tensor without values."""
    made = Handmade()
    image = made.tensor(*SHAPE, name="image")
    half = made.arithmetic("MUL", image, made.constant(0.5), SHAPE)
    if empty:
        nothing = made.constant(np.zeros((1, 0, 4, 3)))
        made.arithmetic("ADD", nothing, nothing, (1, 0, 4, 3))
    branches = []
    for _ in range(others):
        other = Handmade(buffers=made.buffers, codes=made.codes)
        place = other.tensor(1, name="in the branch")
        branches.append(other.subgraph([place], [other.arithmetic("ADD", place, place, (1,))], "branch"))
    return made.graph([half], others=tuple(branches))


@pytest.mark.parametrize("graph", [halved(), halved(others=2), halved(empty=True)], ids=["one", "more", "empty"])
def test_the_main_graph_is_measured(graph: Graph) -> None:
    image, half = measure_ranges(graph, IMAGES, method="minmax")
    assert (image.min, image.max) == (0.0, 255.0)
    assert half.max == IMAGES.max() / 2
    ranged = with_ranges(graph, (image, half))
    tensors = ranged.model.subgraphs[0].tensors
    assert [list(tensor.quantization.max) for tensor in tensors if tensor.quantization] == [[255.0], [half.max]]
    assert graph.model.subgraphs[0].tensors[0].quantization is None


def test_further_subgraphs_belong_to_the_structure() -> None:
    assert len({structure_digest(halved(others=others)) for others in (0, 1, 2)}) == 3
    assert structure_digest(halved(others=1)) == structure_digest(halved(others=1))


def test_a_graph_without_operators_has_its_input_alone() -> None:
    made = Handmade()
    graph = made.graph([made.tensor(*SHAPE, name="image")])
    (image,) = measure_ranges(graph, IMAGES)
    assert (image.min, image.max) == (0.0, 255.0)
    assert len(structure_digest(graph)) == 64


def test_two_inputs_or_integer_pixels_are_refused_in_plain_words() -> None:
    made = Handmade()
    first, second = made.tensor(*SHAPE), made.tensor(*SHAPE)
    both = made.graph([made.arithmetic("ADD", first, second, SHAPE)], inputs=(0, 1))
    with pytest.raises(ModelFileError, match=r"handmade takes \[1, 4, 4, 3\] float32, \[1, 4, 4, 3\] float32"):
        measure_ranges(both, IMAGES)
    made = Handmade()
    image = made.tensor(*SHAPE)
    made.tensors[image].type = schema.TensorType.INT32
    with pytest.raises(ModelFileError, match=r"takes \[1, 4, 4, 3\] int32"):
        measure_ranges(made.graph([image]), IMAGES)


def test_ranges_of_another_graph_do_not_fit() -> None:
    with pytest.raises(InputError, match="the 1 ranges do not match the 2 activations"):
        with_ranges(halved(), measure_ranges(halved(), IMAGES)[:1])


def test_an_operator_that_computes_nothing_is_no_harm() -> None:
    graph = halved()
    draft = graph.draft()
    extra = schema.OperatorT(opcodeIndex=0, inputs=np.array([0], np.int32), outputs=None)
    draft.subgraphs[0].operators.append(extra)
    assert with_ranges(Graph(draft, "odd"), measure_ranges(graph, IMAGES)).data
    assert structure_digest(Graph(draft, "odd")) != structure_digest(graph)


def test_from_the_converter_to_the_quantizer_nothing_is_parsed_and_only_what_runs_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LiteRT gets a file, and the quantizer; no stage between reads or writes one."""
    made = Handmade()
    pixels = made.arithmetic("ADD", made.tensor(*SHAPE, name="image"), made.constant(-127.0), SHAPE)
    filters, bias = made.constant(np.ones((2, 1, 1, 3))), made.constant([0.0, 1.0])
    converted = made.graph([made.convolution(pixels, filters, bias, (1, 4, 4, 2))])
    calls: list[str] = []
    for name in ("parse", "serialize"):
        right = getattr(flatbuffer, name)
        counted = lambda *given, right=right, name=name: calls.append(name) or right(*given)  # noqa: E731
        monkeypatch.setattr(flatbuffer, name, counted)
    graph = compact(fold_pixel_scaling(converted))
    structure_digest(graph)
    list(operations(graph))
    ranges = measure_ranges(graph, IMAGES)
    assert calls == ["serialize"]  # with every activation among the outputs
    for _ in range(2):  # written once, however many ask
        assert graph.data
    assert with_ranges(graph, ranges).data
    assert calls == ["serialize"] * 3


def test_a_map_s_scores_are_no_logits_and_a_gate_is_no_swish() -> None:
    soft = schema.SoftmaxOptionsT(beta=1.0)
    for shape, weighted in (((1, 4), True), ((1, 3, 4), False)):
        made = Handmade()
        scores = made.arithmetic("MUL", made.tensor(*shape), made.constant([2.0]), shape)
        graph = made.graph([made.computed("SOFTMAX", [scores], shape, soft)])
        assert (scores in ranges.next_functions(graph.model)) == weighted
    for gate, weighted in ((False, True), (True, False)):
        made = Handmade()
        x = made.arithmetic("MUL", made.tensor(1, 4), made.constant([2.0]), (1, 4))
        sigmoid = made.computed("LOGISTIC", [x], (1, 4))
        other = made.constant(np.ones(4)) if gate else sigmoid
        product = made.arithmetic("MUL", x, other, (1, 4))
        graph = made.graph([made.arithmetic("ADD", product, sigmoid, (1, 4))])
        assert (x in ranges.next_functions(graph.model)) == weighted
