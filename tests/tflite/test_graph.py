"""A graph that is handed on, and what tells of its operations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from handmade import Handmade, run
from vitconv.foundation.errors import ModelFileError
from vitconv.quantization.hybrid.units import inner_operations
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import operations


def small() -> Graph:
    """A product and a sum of a picture [1, 2, 2, 3]."""
    made = Handmade()
    image = made.tensor(1, 2, 2, 3, name="net_1/image_1/in")
    product = made.arithmetic("MUL", image, made.constant(2.0, "factor"), (1, 2, 2, 3))
    return made.graph([made.arithmetic("ADD", product, made.constant([1.0, 2.0, 3.0]), (1, 2, 2, 3))])


def test_a_file_that_was_read_keeps_its_bytes_with_all_that_stands_behind_the_model(tmp_path: Path) -> None:
    data = small().data + b"behind"
    (tmp_path / "small.tflite").write_bytes(data)
    graph = Graph.read(tmp_path / "small.tflite")
    assert graph.data == data
    assert graph.name == str(tmp_path / "small.tflite")
    with pytest.raises(ModelFileError, match="absent"):
        Graph.read(tmp_path / "absent.tflite")


def test_a_graph_that_was_made_gives_the_bytes_of_its_model() -> None:
    graph = small()
    again = Graph(graph.draft(), "again")
    assert again.data == flatbuffer.serialize(graph.model)
    assert again.data is again.data  # written once


def test_a_draft_can_be_changed_without_changing_the_graph() -> None:
    graph = small()
    before = flatbuffer.serialize(graph.model)
    draft = graph.draft()
    main = draft.subgraphs[0]
    main.name = b"other"
    main.tensors[0].name = b"other"
    main.tensors.append(schema.TensorT())
    main.operators[0].inputs = np.array([0, 0], np.int32)
    del main.operators[1]
    draft.buffers[1].data = flatbuffer.data_vector(b"1234")
    draft.buffers.append(schema.BufferT())
    draft.operatorCodes[0].version = 9
    draft.metadata = [schema.MetadataT(name="note", buffer=0)]
    assert flatbuffer.serialize(graph.model) == before
    (answer,) = run(graph, np.ones((1, 2, 2, 3)))
    np.testing.assert_array_equal(answer[0, 0, 0], [3, 4, 5])


def test_equal_texts_are_written_once_whether_read_or_made() -> None:
    graph = small()
    draft = graph.draft()
    for tensor in draft.subgraphs[0].tensors:
        tensor.name = "called the same"
    draft.subgraphs[0].tensors[0].name = b"called the same"
    assert flatbuffer.serialize(draft).count(b"called the same") == 1


def test_operators_that_compute_nothing_and_optional_inputs_are_no_harm() -> None:
    made = Handmade()
    image = made.tensor(1, 4, 4, 3)
    kernel = made.constant(np.ones((2, 1, 1, 3)))
    filtered = made.convolution(image, kernel, -1, (1, 4, 4, 2))
    made.operator("ASSIGN_VARIABLE", [filtered], [])
    made.operators[-1].outputs = None
    graph = made.graph([filtered])
    (operation,) = operations(graph)
    assert (operation.index, operation.operator, operation.output) == (0, "CONV_2D", filtered)
    assert operation.activations == (image,)
    assert operation.has_weights


def test_what_reads_the_second_output_of_an_operator_reads_no_pixels() -> None:
    made = Handmade()
    image = made.tensor(1, 2, 2, 4)
    doubled = made.arithmetic("MUL", image, made.constant(2.0), (1, 2, 2, 4))
    halves = [made.tensor(1, 2, 2, 2) for _ in range(2)]
    made.operator("SPLIT", [made.constant(3.0), doubled], halves, schema.SplitOptionsT(numSplits=2))
    third = made.arithmetic("ADD", halves[1], made.constant(1.0), (1, 2, 2, 2))
    graph = made.graph([made.arithmetic("ADD", third, halves[0], (1, 2, 2, 2))])
    first, split, *_ = operations(graph)
    assert split.outputs == tuple(halves)
    inner = inner_operations(graph)
    assert [operation.operator for operation in inner] == ["SPLIT", "ADD"]
    assert first not in inner


def test_a_graph_without_operators_or_with_several_subgraphs_has_the_main_one_s_operations() -> None:
    made = Handmade()
    assert list(operations(made.graph([made.tensor(1)]))) == []
    made, other = Handmade(), Handmade()
    place = made.arithmetic("ADD", made.tensor(1), made.constant(1.0), (1,))
    branch = other.subgraph([other.tensor(1)], [0], "branch")
    assert [operation.operator for operation in operations(made.graph([place], others=(branch,)))] == ["ADD"]
