"""What a network does to its pixels first, folded into its first convolution."""

from __future__ import annotations

import numpy as np
import pytest

from converted import float_graph, images
from vitconv.conversion import float_graph as conversion
from vitconv.conversion import schemes
from vitconv.conversion.folding import fold_pixel_scaling
from vitconv.runtimes.litert import Runner
from vitconv.tflite import flatbuffer


def operators(graph: bytes) -> list[str]:
    model = flatbuffer.parse(graph, "graph")
    return [
        flatbuffer.operator_name(model.operatorCodes[operator.opcodeIndex])
        for operator in model.subgraphs[0].operators
    ]


def answers(graph: bytes, pictures: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    path = tmp_path_factory.mktemp("graph") / "graph.tflite"
    path.write_bytes(graph)
    with Runner(path) as runner:
        return runner.probabilities(pictures)


def test_the_first_operators_go_and_the_function_stays(tmp_path_factory: pytest.TempPathFactory) -> None:
    graph = float_graph("eanet", "float32")
    assert operators(graph)[:3] == ["SUB", "MUL", "CONV_2D"]
    result = fold_pixel_scaling(graph)
    assert operators(result) == operators(graph)[2:]
    pictures = images("eanet", 4)
    expected = answers(graph, pictures, tmp_path_factory)
    np.testing.assert_allclose(answers(result, pictures, tmp_path_factory), expected, atol=1e-5)
    assert fold_pixel_scaling(result) == result


@pytest.mark.parametrize("name", ["eanet", "mobilevit_xxs"])
def test_integer_graphs_start_with_the_convolution(name: str) -> None:
    for scheme in ("int8", "int8-hybrid"):
        assert operators(float_graph(name, scheme))[0] == "CONV_2D"


def test_a_shift_before_padded_zeros_is_left_alone() -> None:
    """There a padded zero means the mean, not black."""
    import keras

    model = keras.Sequential([
        keras.Input((8, 8, 3)),
        keras.layers.Rescaling(1 / 127.5, offset=-1),
        keras.layers.Conv2D(4, 3, padding="same"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Softmax(),
    ])  # fmt: skip
    graph = conversion.convert_float(model, schemes.find("float32"))
    assert operators(graph)[0] != "CONV_2D"
    assert fold_pixel_scaling(graph) == graph
