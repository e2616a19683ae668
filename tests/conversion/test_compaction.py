"""Smaller files that compute the same and keep what tells their layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converted import converted, float_graph
from handmade import Handmade
from handmade import run as run_graph
from vitconv.conversion.compaction import compact
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import layer_in, layer_of, operations


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
    graph = compact(Graph.parse(before, "tiny"))
    after = graph.data
    assert len(after) < len(before)
    assert compact(graph).data == after
    pictures = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    for picture in pictures:
        np.testing.assert_array_equal(run(after, picture), run(before, picture))


def test_what_the_converter_writes_for_later_readers_is_kept(tiny_tflite: dict[str, bytes]) -> None:
    def notes(data: bytes) -> dict[str, bytes]:
        model = flatbuffer.parse(data, "tiny")
        return {flatbuffer.text(item.name): bytes(model.buffers[item.buffer].data) for item in model.metadata}

    assert notes(tiny_tflite["int8"])["min_runtime_version"]
    assert notes(compact(Graph.parse(tiny_tflite["int8"], "tiny")).data) == notes(tiny_tflite["int8"])


def test_a_name_of_the_converter_tells_the_layer() -> None:
    assert layer_in("net_1/block0.add_2/Add", False) == "block0.add"
    assert layer_in("net_1/dense_1_3/Tensordot/MatMul", True) == "dense_1"
    # What a layer normalises before it does something else counts as a layer of its own.
    assert layer_in("net_1/block0.attention_2/norm/sub", False) == "block0.attention.norm"
    assert layer_in("net_1/block0.attention_2/norm_1/Tensordot/MatMul", True) == "block0.attention.norm"
    assert layer_in("net_1/norm_1/add", False) == "norm"
    fused = "net_1/bn_1/add;net_1/bn_1/mul;net_1/conv_1/convolution"
    assert layer_in(fused, has_weights=False) == "bn"
    assert layer_in(fused, has_weights=True) == "conv"
    for name in ("block0.add|ADD", "serving_default_image:0", "tfl.quantize", "Identity", ""):
        assert layer_in(name, False) is None


def test_of_other_people_s_models_every_scope_tells_the_layer() -> None:
    assert layer_in("net_1/backbone_1/block1_norm_1/add", False, nested=True) == "backbone.block1_norm"
    assert layer_in("net_1/attention_2/query_1/einsum/Einsum", True, nested=True) == "attention.query.einsum"
    assert layer_in("net_1/truediv_3", False, nested=True) == "truediv"
    assert layer_in("Identity", False, nested=True) is None
    assert layer_in("dense|MATMUL", False, nested=True) is None


def test_a_short_name_is_the_layer_and_the_operator() -> None:
    """And not what Keras traced there, which has other names in other versions of it."""
    made = Handmade()
    image = made.tensor(1, 2, 2, 3, name="image")
    source = image
    for name in ("net_1/a_1/add", "net_1/a_1/Tensordot", "net_1/b_1/Add", "Identity"):
        source = made.arithmetic("ADD", source, made.constant(1.0), (1, 2, 2, 3))
        made.tensors[source].name = name
    assert computed(compact(made.graph([source])).model) == ["image", "a|ADD", "a|ADD_1", "b|ADD", "Identity"]
    made.tensors[3].name = "a|ADD"  # of an earlier time
    names = computed(compact(made.graph([source])).model)
    assert sorted(names) == ["Identity", "a|ADD", "a|ADD_1", "b|ADD", "image"]


def test_a_short_name_tells_its_layer() -> None:
    assert layer_of("block0.add|ADD") == "block0.add"
    assert layer_of("Identity") == "output"


@pytest.mark.parametrize("name", ["eanet", "mobilevit_xxs", "mobilevit_paper_xxs"])
def test_every_computed_tensor_of_a_float_graph_has_a_name_of_its_own(name: str) -> None:
    """Ranges go by them."""
    names = computed(float_graph(name, "int8").model)
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


def two_subgraphs() -> Graph:
    """A picture doubled, and a second graph (as a branch has) with a sum and a constant of its own."""
    made = Handmade()
    image = made.tensor(1, 2, 2, 3, name="net_1/image_1/in")
    doubled = made.arithmetic("MUL", image, made.constant(2.0, "a factor with a long name"), (1, 2, 2, 3))
    other = Handmade(buffers=made.buffers, codes=made.codes)
    place = other.tensor(1, name="net_1/branch_1/in")
    summed = other.arithmetic("ADD", place, other.constant(5.0, "a summand with a long name"), (1,))
    return made.graph([doubled], others=(other.subgraph([place], [summed], "branch"),))


def test_a_tensor_that_nobody_reads_or_gives_goes_and_the_others_are_still_found() -> None:
    made = Handmade()
    image = made.tensor(1, 2, 2, 3, name="net_1/image_1/in")
    made.tensor(7, name="net_1/gone_1/idle")
    idle = made.constant(np.ones(1000), "an idle kernel")
    doubled = made.arithmetic("MUL", image, made.constant(2.0), (1, 2, 2, 3))
    answer = made.tensor(1, 2, 2, 2)  # of a dense layer without a bias, which is an optional input
    options = schema.FullyConnectedOptionsT(keepNumDims=True)
    made.operator("FULLY_CONNECTED", [doubled, made.constant(np.ones((2, 3))), -1], [answer], options)
    graph = made.graph([answer])
    model = graph.draft()
    model.signatureDefs = [
        schema.SignatureDefT(
            inputs=[schema.TensorMapT(name="image", tensorIndex=image)],
            outputs=[schema.TensorMapT(name="answer", tensorIndex=answer)],
            signatureKey="serving_default",
        )
    ]
    result = Graph.parse(compact(Graph(model, "signed")).data, "compact")
    assert len(result.model.subgraphs[0].tensors) == len(graph.model.subgraphs[0].tensors) - 2
    assert idle < answer
    assert len(result.data) < len(graph.data) - 4000
    signature = result.model.signatureDefs[0]
    assert signature.inputs[0].tensorIndex == result.model.subgraphs[0].inputs[0]
    assert signature.outputs[0].tensorIndex == result.model.subgraphs[0].outputs[0]
    (given,) = run_graph(result, np.ones((1, 2, 2, 3)))
    np.testing.assert_array_equal(given, 6 * np.ones((1, 2, 2, 2)))


@pytest.mark.parametrize("inner_names", [True, False])
def test_the_constants_of_every_subgraph_are_kept(inner_names: bool) -> None:
    graph = two_subgraphs()
    result = Graph.parse(compact(graph, inner_names).data, "compact")
    assert len(result.data) < len(graph.data)
    values = []
    for subgraph in result.model.subgraphs:
        (constant,) = (one for one in subgraph.tensors if flatbuffer.is_constant(result.model, one))
        assert not flatbuffer.text(constant.name)
        values.append(float(np.frombuffer(bytes(result.model.buffers[constant.buffer].data), np.float32)[0]))
    assert values == [2.0, 5.0]
    assert flatbuffer.text(result.model.subgraphs[1].tensors[0].name) == "branch|input"
    (answer,) = run_graph(result, np.ones((1, 2, 2, 3)))
    np.testing.assert_array_equal(answer, 2 * np.ones((1, 2, 2, 3)))


def test_what_has_no_bias_no_outputs_or_no_operators_becomes_smaller_as_well() -> None:
    made = Handmade()
    image = made.tensor(1, 4, 4, 3, name="net_1/image_1/in")
    filtered = made.convolution(image, made.constant(np.ones((2, 1, 1, 3)), "kernel"), None, (1, 4, 4, 2))
    made.operator("ASSIGN_VARIABLE", [filtered], [])
    made.operators[-1].outputs = None
    graph = made.graph([filtered])
    for inner_names in (True, False):
        assert len(compact(graph, inner_names).data) < len(graph.data)
    hollow = Handmade()
    assert compact(hollow.graph([hollow.tensor(1)])).model.subgraphs[0].operators in (None, [])


def test_a_tensor_that_the_graph_gives_keeps_its_own_name() -> None:
    made = Handmade()
    image = made.tensor(1, 2, 2, 3, name="net_1/a_1/in")
    first = made.arithmetic("MUL", image, made.constant(2.0), (1, 2, 2, 3))
    second = made.arithmetic("ADD", first, made.constant(1.0), (1, 2, 2, 3))
    made.tensors[first].name, made.tensors[second].name = "net_1/a_1/mul", "net_1/a_1/add"
    graph = made.graph([first, second])
    names = [
        flatbuffer.text(tensor.name) for tensor in compact(graph, inner_names=False).model.subgraphs[0].tensors
    ]
    assert names[first] == "a|MUL"
