"""Keras → .tflite: the same answers, and graphs that hold the ops and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converted import (
    CLASSES,
    converted,
    float_graph,
    images,
    inspected,
    keras_answers,
    keras_model,
    ranges,
    size_of,
)
from graphs import inspect_bytes
from parity import ours
from reference.weights import pictures
from shared import made_once
from vitconv.conversion import float_graph as conversion
from vitconv.conversion import schemes
from vitconv.conversion.schemes import SCHEMES
from vitconv.foundation.errors import InputError, PromiseError
from vitconv.models import catalogue
from vitconv.models.forms import TRAINING_FORM, current_form
from vitconv.quantization import integers
from vitconv.quantization.ranges import TensorRange, measure_ranges
from vitconv.runtimes.litert import Runner
from vitconv.tflite import flatbuffer

FLOAT_ERROR = 1e-4  # in a probability, as the float32 scheme promises

# A conversion takes seconds: every scheme of the two articles' networks, float32 and int8 of the paper's and of
# self-attention, and int8 of the paper's larger two, which differ from its smallest in their widths only.
CASES = [
    *((name, scheme) for name in ("mobilevit_xxs", "eanet") for scheme in SCHEMES),
    *(
        (name, scheme)
        for name in ("mobilevit_paper_xxs", "eanet_self_attention")
        for scheme in ("float32", "int8")
    ),
    ("mobilevit_paper_xs", "int8"),
    ("mobilevit_paper_s", "int8"),
    ("mobilevitv2_050", "float32"),
    ("mobilevitv2_050", "int8"),
    ("repvit_m0_9", "float32"),
    ("repvit_m0_9", "int8"),
]
FLOAT_CASES = [name for name, scheme in CASES if scheme == "float32"]


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    return path


def digest(data: bytes) -> str:
    """To compare files by: pytest would explain a difference of megabytes byte by byte."""
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(("name", "scheme"), CASES)
def test_a_scheme_keeps_its_promises(name: str, scheme: str) -> None:
    schemes.find(scheme).check(inspected(name, scheme))


def test_every_model_of_the_catalogue_is_converted() -> None:
    assert {name for name, _ in CASES} == set(catalogue.CATALOGUE)


@pytest.mark.parametrize("name", FLOAT_CASES)
def test_a_float_file_answers_as_keras_in_one_partition(name: str, tmp_path: Path) -> None:
    batch, expected = images(name, 3, seed=7), keras_answers(name, 3, seed=7)
    with Runner(write(tmp_path, converted(name, "float32"))) as runner:
        assert runner.partitions == 1
        assert runner.delegated_nodes == runner.nodes
        np.testing.assert_allclose(runner.probabilities(batch), expected, atol=FLOAT_ERROR)


@pytest.mark.parametrize("name", ["mobilevit_xxs", "eanet"])
def test_a_float_file_of_another_model_does_not_answer_as_keras(name: str, tmp_path: Path) -> None:
    with Runner(write(tmp_path, converted(name, "float32"))) as runner:
        answers = runner.probabilities(images(name, 1, seed=7))
    assert np.abs(answers - answers_of_another(name)).max() > FLOAT_ERROR


@made_once
def answers_of_another(name: str) -> np.ndarray:
    """To the same image, by the model with a head that is one per cent larger."""
    model = keras_model(name)
    head = model.get_layer("head")
    kernel = head.kernel.numpy()
    head.kernel.assign(kernel * 1.01)
    try:
        return np.asarray(model(images(name, 1, seed=7).astype(np.float32), training=False))
    finally:
        head.kernel.assign(kernel)


@pytest.mark.parametrize(("name", "scheme"), [case for case in CASES if case[1] != "float32"])
def test_a_quantized_file_stays_near_keras(name: str, scheme: str, tmp_path: Path) -> None:
    batch, expected = images(name, 8, seed=7), keras_answers(name, 8, seed=7)
    with Runner(write(tmp_path, converted(name, scheme))) as runner:
        answers = runner.probabilities(batch)
    # Measured: 0.001, 0.05, 0.19, 0.13. Trained-like weights are harder to quantize than trained ones.
    limit = {"float16": 0.005, "dynamic": 0.1, "int8": 0.25, "int8-hybrid": 0.25}[scheme]
    assert np.abs(answers - expected).max() < limit


@made_once
def at_its_own_size() -> tuple[bytes, np.ndarray, np.ndarray]:
    """The article's MobileViT for 256 × 256 pixels as a float file, an image, and the model's answer to it."""
    model = ours("mobilevit_xxs", 256, 5)
    data = conversion.convert_float(model, schemes.find("float32")).data
    picture = pictures(1, 256, seed=5)
    return data, picture, np.asarray(model(picture, training=False))


def test_the_articles_networks_are_small_graphs_of_four_dimensions_at_most(tmp_path: Path) -> None:
    assert inspected("eanet", "float32").op_count <= 300
    data, picture, expected = at_its_own_size()
    file = inspect_bytes(data, "mobilevit_xxs")
    assert file.op_count <= 440
    assert file.max_rank <= 4
    assert not file.has_dynamic_shapes
    assert not file.flex_ops
    with Runner(write(tmp_path, data)) as runner:
        assert runner.partitions == 1
        np.testing.assert_allclose(runner.probabilities(picture), expected, atol=FLOAT_ERROR)


@made_once
def with_odd_maps() -> tuple[bytes, bytes, np.ndarray, np.ndarray]:
    """The paper's network for 96 pixels: its float graph, its int8 file, images, and the model's answers."""
    model, scheme = ours("mobilevit_paper_xxs", 96, CLASSES), schemes.find("int8")
    shown = np.rint(pictures(16, 96, seed=3)).astype(np.uint8)
    graph = conversion.convert_float(model, scheme)
    data = integers.quantize(graph, measure_ranges(graph, shown)).data
    return graph.data, data, shown, np.asarray(model(shown.astype(np.float32), training=False))


def test_odd_feature_maps_are_resized_in_float_and_in_integers(tmp_path: Path) -> None:
    # At 96 pixels the paper's last block has 3 × 3; at 224, which is its weights' own size elsewhere, 7 × 7.
    graph, data, shown, expected = with_odd_maps()
    file = inspect_bytes(data, "mobilevit_paper_xxs-int8.tflite")
    schemes.find("int8").check(file)
    assert file.ops["RESIZE_BILINEAR"]["count"] == 2
    with Runner(write(tmp_path, graph)) as runner:
        np.testing.assert_allclose(runner.probabilities(shown), expected, atol=FLOAT_ERROR)
    with Runner(write(tmp_path, data)) as runner:
        assert np.mean(np.abs(runner.probabilities(shown) - expected)) < 0.01


@pytest.mark.parametrize("name", ["mobilevit_xxs", "eanet"])
def test_an_integer_file_takes_pixels_and_gives_steps_of_a_256th(name: str) -> None:
    file = inspected(name, "int8")
    (source,), (target,) = file.inputs, file.outputs
    assert (source.dtype, source.scale, source.zero_point) == ("uint8", 1.0, 0)
    assert source.shape == (1, size_of(name), size_of(name), 3)
    assert (target.dtype, target.scale, target.zero_point) == ("uint8", 1 / 256, 0)
    assert target.shape == (1, CLASSES)


@pytest.mark.parametrize("name", ["mobilevit_xxs", "eanet"])
def test_integers_take_means_of_pixels_only(name: str) -> None:
    """On arm64, TFLite 2.16.1 takes 89 instructions an element for one over the last axis."""
    model = flatbuffer.parse(converted(name, "int8"), name)
    subgraph, names = model.subgraphs[0], flatbuffer.operator_names(model)
    means = [operator for operator in subgraph.operators if names[operator.opcodeIndex] == "MEAN"]
    assert len(means) >= 9
    for operator in means:
        source, axes = (subgraph.tensors[index] for index in flatbuffer.inputs(operator))
        assert len(flatbuffer.tensor_shape(source)) == 4
        assert np.frombuffer(bytes(model.buffers[axes.buffer].data), np.int32).tolist() == [1, 2]
    assert not {"LOG_SOFTMAX", "DIV", "SUM", "L2_NORMALIZATION"} & set(inspected(name, "int8").ops)


@made_once
def built_again() -> tuple[bytes, bytes, np.ndarray, np.ndarray]:
    """A second EANet with the same weights: its float graph and file, and its answers before and after they were
    made."""
    name = "eanet"
    again = catalogue.find(name).build(catalogue.find(name).spec(size_of(name)), CLASSES)
    again.set_weights(keras_model(name).get_weights())
    for layer in again.layers:
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    batch = images(name, 1).astype(np.float32)
    before = np.asarray(again(batch, training=False))
    graph = conversion.convert_float(again, schemes.find("int8"))
    assert current_form() == TRAINING_FORM
    after = np.asarray(again(batch, training=False))
    return graph.data, integers.quantize(graph, ranges(name)).data, before, after


def test_a_model_built_again_gives_the_same_bytes() -> None:
    graph, file, *_ = built_again()
    assert digest(graph) == digest(float_graph("eanet", "int8").data)
    assert digest(file) == digest(converted("eanet", "int8"))


def test_conversion_leaves_the_model_in_its_training_form() -> None:
    *_, before, after = built_again()
    np.testing.assert_array_equal(after, before)


def test_ranges_of_another_graph_are_refused() -> None:
    graph = float_graph("eanet", "int8")
    right = ranges("eanet")
    for wrong in (right[:-1], (*right, right[0]), (TensorRange("other", 0, 1, 0, 1), *right[1:]), right[::-1]):
        with pytest.raises(InputError, match="ranges do not match"):
            integers.quantize(graph, wrong)


def test_a_model_that_the_converter_cannot_write_is_a_broken_promise_with_its_reason() -> None:
    import keras
    import tensorflow as tf

    class Odd(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return tf.raw_ops.Betainc(a=x, b=x, x=x)  # no such TFLite operator

    image = keras.Input((4, 4, 3))
    model = keras.Model(image, Odd()(image))
    with pytest.raises(PromiseError, match=r"converter could not write float32: .*\bBetainc"):
        conversion.convert_float(model, schemes.find("float32"))
