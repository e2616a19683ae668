"""A float file in 16 bits: overflow of values and of sums is found, with its layer, before a phone finds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpu_files import Middle, classifier, unary, write_export
from handmade import Handmade, run
from vitconv.evaluation.other_runtimes import gpu
from vitconv.evaluation.other_runtimes.half_precision import LARGEST, HalfPrecision, half_precision
from vitconv.exporting import manifest
from vitconv.runtimes.gpu.drivers import Driver
from vitconv.tflite.graph import Graph

IMAGES = np.random.default_rng(5).integers(0, 256, (2, 8, 8, 3), np.uint8)
MAPS = (1, 6, 6, 4)


def named(graph: Handmade, index: int, layer: str) -> int:
    graph.tensors[index].name = f"{layer}|"
    return index


def large_values(graph: Handmade, source: int) -> int:
    """Values of some 200,000, which are then made small again."""
    large = named(graph, graph.arithmetic("MUL", source, graph.constant([5e4]), MAPS), "large")
    return graph.arithmetic("MUL", large, graph.constant([2e-5]), MAPS)


def lost_digits(graph: Handmade, source: int) -> int:
    """5,000 is added and subtracted again: in 16 bits its neighbours are 4 apart."""
    shifted = graph.arithmetic("ADD", source, graph.constant([5e3]), MAPS)
    return graph.arithmetic("SUB", shifted, graph.constant([5e3]), MAPS)


def looked_at(middle: Middle) -> HalfPrecision:
    graph = classifier(middle)
    return half_precision(graph, IMAGES, answers(graph))


def answers(graph: Graph) -> np.ndarray:
    return np.stack([run(graph, image[np.newaxis])[0].ravel() for image in IMAGES]).astype(np.float64)


def test_a_sound_file_passes_and_says_how_far_it_goes() -> None:
    found = looked_at(unary("ABS"))
    assert found.reasons == ()
    assert found.agreement == 1.0
    assert found.max_abs_error is not None
    assert 0 < found.max_abs_error < 0.005
    assert all(0 <= layer.value < 100 for layer in found.layers)


def test_values_that_overflow_are_named_with_their_layer() -> None:
    found = looked_at(large_values)
    assert found.max_abs_error is None
    assert found.reasons[0].startswith("in 16 bits large overflows: its values reach ")
    assert found.layers[0].layer == "large"
    assert found.layers[0].value > LARGEST


def test_one_picture_of_several_is_enough() -> None:
    graph = classifier(large_values)
    images = np.zeros((6, 8, 8, 3), np.uint8)
    images[-1] = IMAGES[0]
    expected = np.stack([run(graph, image[np.newaxis])[0].ravel() for image in images]).astype(np.float64)
    found = half_precision(graph, images, expected)
    assert (found.images, found.max_abs_error) == (6, None)
    assert "in 16 bits it gives NaN or infinity" in found.reasons
    assert half_precision(graph, images[:-1], expected[:-1]).reasons == ()


def test_digits_that_are_lost_show_in_the_answers() -> None:
    found = looked_at(lost_digits)
    assert found.max_abs_error is not None
    assert found.max_abs_error > 0.01
    assert "in 16 bits it is off by" in found.reasons[0]


def test_a_sum_that_may_overflow_on_the_way_is_named_though_it_comes_out_small() -> None:
    graph = Handmade()
    image = graph.tensor(1, 8, 8, 3, name="image")
    kernel = np.zeros((1, 1, 1, 3), np.float32)
    kernel[0, 0, 0] = (400.0, -400.0, 1.0)
    both = graph.constant(kernel)
    product = named(graph, graph.convolution(image, both, graph.constant([0.0]), (1, 8, 8, 1)), "cancelling")
    grey = np.repeat(IMAGES[..., :1], 3, axis=3)
    grey[:, 0, 0] = 255
    found = half_precision(graph.graph([product]), grey, np.zeros((2, 64)))
    (layer,) = found.layers
    assert layer.value < 256
    assert layer.total == pytest.approx(255 * 801)
    assert "in 16 bits a sum in cancelling may overflow: it can reach 2.04e+05 on the way" in found.reasons


def test_a_mean_counts_as_the_sum_that_it_is() -> None:
    graph = Handmade()
    image = graph.tensor(1, 8, 8, 3, name="image")
    axes = graph.constant([0, 0])
    graph.tensors[axes].type = 2  # int32
    graph.buffers[-1].data = np.frombuffer(np.array([1, 2], np.int32).tobytes(), np.uint8)
    mean = graph.tensor(1, 3, name="pool|")
    graph.operator("MEAN", [image, axes], [mean])
    found = half_precision(graph.graph([mean]), np.full((1, 8, 8, 3), 200, np.uint8), np.full((1, 3), 200.0))
    assert (found.layers[0].value, found.layers[0].total) == (200.0, 200.0 * 64)


def test_an_export_whose_file_overflows_in_16_bits_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = classifier(large_values)
    folder = write_export(tmp_path / "export", graph, "float16")
    ran = gpu._Ran(answers(graph)[:1].astype(np.float32), answers(graph)[:1], (), None)
    monkeypatch.setattr(gpu, "_run", lambda *arguments: ran)
    monkeypatch.setattr(gpu, "_too_far", lambda *arguments: iter(()))
    result = gpu.verify_gpu(folder, manifest.read(folder), Driver("none", (), ""))
    (check,) = result.checks
    assert check.status == "failed"
    assert "in 16 bits large overflows" in check.reasons[0]
    assert result.to_json()["gpu"][0]["half"]["layers"][0]["layer"] == "large"
