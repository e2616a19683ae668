"""Calibration: which images, which ranges, and a file that keeps them exactly."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import Call, Ended, refused
from converted import float_graph
from vitconv import CalibrateConfig, Calibration, ImageSpec, calibrate, open_checkpoint
from vitconv.checkpoints.pictures import SeenPictures
from vitconv.classifiers.own import OwnModel
from vitconv.conversion import float_graph as float_graph_module
from vitconv.data.datasets import Split, open_dataset
from vitconv.foundation.disk.writing import writing
from vitconv.foundation.errors import DatasetError, InputError
from vitconv.quantization import calibration
from vitconv.quantization.bias_correction import BiasCorrection
from vitconv.quantization.calibration import GraphRanges
from vitconv.quantization.choosing import choose_images, trained_on
from vitconv.quantization.hybrid.kept import Kept, UnitCost
from vitconv.quantization.ranges import TensorRange, measure_ranges, structure_digest, with_ranges
from vitconv.tflite.graph import Graph

SAMPLES = 40


@pytest.fixture(scope="module")
def calibrated(digits_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Calibration, Path]:
    """The calibration of the checkpoint that was trained on digits, and its file."""
    out = tmp_path_factory.mktemp("calibration") / "ranges.json"
    return calibrate(CalibrateConfig(digits_checkpoint, out, samples=SAMPLES, seed=3)), out


def test_the_command_writes_the_same_file(
    calibrated: tuple[Calibration, Path], calibrate_command: tuple[Path, Ended]
) -> None:
    """But for what a hybrid file keeps in float: that is measured."""
    result, _ = calibrated
    file, ended = calibrate_command
    written = calibration.read(file)
    assert json.loads(ended.out) == json.loads(file.read_text())
    assert replace(written, graphs=()) == replace(result, graphs=())
    assert [graph.ranges for graph in written.graphs] == [graph.ranges for graph in result.graphs]


def split_of(labels: list[int]) -> Split:
    images = np.zeros((len(labels), 1, 1, 3), np.uint8)
    return Split("train", "train", images, np.asarray(labels, np.int64))


# --- which images ---


def test_images_come_from_the_training_split_and_from_no_other(
    calibrated: tuple[Calibration, Path], digits_checkpoint: Path
) -> None:
    result, _ = calibrated
    card = open_checkpoint(digits_checkpoint).card
    dataset = open_dataset("digits")
    training = dataset.split("train", card.image)
    assert (result.split, result.split_digest) == (training.source, training.digest)
    assert result.image == card.image
    assert len(set(result.images)) == SAMPLES
    assert all(0 <= index < len(training) for index in result.images)
    evaluation = dataset.split(dataset.evaluation_name, card.image)
    held_out = {image.tobytes() for image in evaluation.images}
    assert not held_out & {training.images[index].tobytes() for index in result.images}
    assert result.split_digest != evaluation.digest


def test_classes_are_represented_evenly(calibrated: tuple[Calibration, Path], digits_checkpoint: Path) -> None:
    result, _ = calibrated
    training = open_dataset("digits").split("train", open_checkpoint(digits_checkpoint).card.image)
    counts = Counter(int(training.labels[index]) for index in result.images)
    assert counts == dict.fromkeys(range(10), SAMPLES // 10)


def test_a_rare_class_is_taken_whole_and_the_others_fill_up_evenly() -> None:
    split = split_of([0] * 50 + [1] * 2 + [2] * 50)
    counts = Counter(int(split.labels[index]) for index in choose_images(split, 12, seed=0))
    assert counts == {0: 5, 1: 2, 2: 5}


def test_fewer_samples_than_classes_are_of_different_classes() -> None:
    split = split_of([0, 0, 0, 1, 1, 1, 2, 2, 2])
    chosen = choose_images(split, 2, seed=0)
    assert len({int(split.labels[index]) for index in chosen}) == 2


def test_all_images_are_taken_where_there_are_fewer_than_samples() -> None:
    assert sorted(choose_images(split_of([0, 1, 1]), 100, seed=0)) == [0, 1, 2]


def test_the_same_seed_chooses_the_same_images_and_another_seed_others() -> None:
    split = split_of([0, 1] * 100)
    assert choose_images(split, 10, seed=1) == choose_images(split, 10, seed=1)
    assert choose_images(split, 10, seed=1) != choose_images(split, 10, seed=2)


def test_images_that_accuracy_is_measured_on_are_passed_over() -> None:
    images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1).repeat(3, axis=3)
    split = Split("train", "train", images, np.zeros(6, np.int64))
    held_out = frozenset(hashlib.sha256(images[index].tobytes()).digest() for index in (1, 4))
    assert sorted(choose_images(split, 100, seed=0, held_out=held_out)) == [0, 2, 3, 5]


def test_a_data_set_whose_training_images_are_those_of_its_test_is_refused(
    digits_checkpoint: Path, tmp_path: Path
) -> None:
    """The same pixels in files that are not copies of each other, which the data set itself would leave out."""
    digits = open_dataset("digits").split("validation", ImageSpec(32, 32))
    for label in range(10):
        for compression, split in enumerate(("train", "validation", "test")):
            folder = tmp_path / "same" / split / str(label)
            folder.mkdir(parents=True)
            image = Image.fromarray(digits.images[digits.labels == label][0])
            image.save(folder / "0.png", compress_level=compression)
    config = CalibrateConfig(digits_checkpoint, tmp_path / "out.json", dataset=str(tmp_path / "same"))
    with pytest.raises(InputError, match=r"all training images of .* are also in the held-out split"):
        calibrate(config)
    assert not config.out.exists()


@pytest.fixture
def without_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs that nothing can be measured on: for what is said before."""
    monkeypatch.setattr(float_graph_module, "float_graphs", lambda *_: {"int8": None})


def dark_digits(folder: Path, divisor: int) -> Path:
    """The digits of the test split as a data set of their own, their values divided."""
    digits = open_dataset("digits").split("test", ImageSpec(32, 32))
    images = np.rint(digits.images[:200] / divisor).astype(np.uint8)
    for number, (image, label) in enumerate(zip(images, digits.labels, strict=False)):
        place = folder / ("test" if number % 2 else "train") / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    return folder


@pytest.mark.parametrize("command", ["calibrate", "export"])
def test_nearly_black_images_are_refused_and_nothing_is_written(
    command: str, without_conversion: None, digits_checkpoint: Path, tmp_path: Path, call: Call
) -> None:
    black, out = dark_digits(tmp_path / "black", 255), tmp_path / "out"
    quant = ("--quant", "int8") if command == "export" else ()
    refused(
        call(command, digits_checkpoint, "--dataset", black, *quant, "--out", out),
        "calibration images of black are nearly black: values from 0 to 1 with a standard deviation of ",
        "and the images that the network was trained on had",
    )
    assert not out.is_file()
    assert not list(tmp_path.glob("out/*"))


def test_doubtful_images_are_warned_of(
    digits_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dark = open_dataset(str(dark_digits(tmp_path / "dark", 3)))
    monkeypatch.setattr(calibration, "_measure_graphs", lambda *_: ())
    monkeypatch.setattr(calibration.output_steps, "of_file", lambda *_: np.array([[0.4, 0.6]]))
    graphs: Any = {"int8": type("Graph", (), {"data": b""})}
    calibration.measure(graphs, OwnModel.open(digits_checkpoint), dark, samples=50)
    (said,) = [record.message for record in caplog.records if "calibration images" in record.message]
    assert said.startswith("the 50 calibration images of dark are doubtful: their contrast is lower (")


def test_images_that_the_network_was_trained_on_are_known(digits_checkpoint: Path) -> None:
    pictures, digits = SeenPictures.of(open_checkpoint(digits_checkpoint)), open_dataset("digits")
    seen, others = (digits.split(name, ImageSpec(8, 8)).pictures for name in ("train", "test"))
    assert trained_on(pictures, seen[:40])
    assert trained_on(pictures, np.concatenate([seen[:38], others[:2]]))
    assert not trained_on(pictures, np.concatenate([seen[:20], others[:20]]))
    assert not trained_on(pictures, None)


def test_two_calibrations_do_not_write_one_file(digits_checkpoint: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "ranges.json"
    with writing(out):
        ended = call("calibrate", digits_checkpoint, "--out", out)
    refused(ended, f"another vitconv is writing into {out}. Wait until it has ended")
    assert list(tmp_path.iterdir()) == []


def test_few_images_are_advised_against() -> None:
    advice = hand_made().advice
    assert advice is not None
    assert advice.startswith("calibrated on only 3 images")
    assert replace(hand_made(), images=tuple(range(100))).advice is None


def test_calibrations_of_the_same_images_are_joined_and_others_are_not() -> None:
    both = hand_made()
    first, second = replace(both, graphs=both.graphs[:1]), replace(both, graphs=both.graphs[1:])
    assert first.joined(second) == both
    assert first.joined(replace(second, seed=8)) == first
    again = replace(first, graphs=(replace(both.graphs[0], sha256="new"),))
    assert again.joined(both).graphs == (*again.graphs, both.graphs[1])


def test_no_samples_are_refused_before_any_work() -> None:
    with pytest.raises(InputError, match="at least 1 image, not 0"):
        CalibrateConfig(Path("nowhere"), Path("out.json"), samples=0)


def test_a_data_set_with_other_classes_is_refused(digits_checkpoint: Path, tmp_path: Path) -> None:
    for place, name in enumerate("abcdefghij"):
        (tmp_path / "letters" / name).mkdir(parents=True)
        for number in range(10):
            picture = Image.new("RGB", (4, 4), (number, place, 0))
            picture.save(tmp_path / "letters" / name / f"{number}.png")
    config = CalibrateConfig(digits_checkpoint, tmp_path / "out.json", dataset=str(tmp_path / "letters"))
    with pytest.raises(DatasetError, match="'a' is none of those"):
        calibrate(config)
    assert not config.out.exists()


# --- ranges ---


def test_the_input_s_range_is_exactly_that_of_a_pixel(calibrated: tuple[Calibration, Path]) -> None:
    result, _ = calibrated
    for graph in result.graphs:
        first, *others = graph.ranges
        assert (first.min, first.max) == (0.0, 255.0)
        assert first.name not in [tensor.name for tensor in others]


def test_the_input_s_range_does_not_depend_on_the_images(tiny_tflite: dict[str, bytes]) -> None:
    grey = np.full((2, 16, 16, 3), 100, np.uint8)
    first, *others = measure_ranges(Graph.parse(tiny_tflite["float32"], "tiny"), grey)
    assert (first.min, first.max) == (0.0, 255.0)
    assert max(tensor.max for tensor in others) < 255


def test_ranges_are_the_extremes_over_all_images(tiny_tflite: dict[str, bytes]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    graph = Graph.parse(tiny_tflite["float32"], "tiny")
    each = [measure_ranges(graph, image[np.newaxis], method="minmax") for image in images]
    for place, tensor in enumerate(measure_ranges(graph, images, method="minmax")):
        assert (tensor.min, tensor.max) == (tensor.seen_min, tensor.seen_max)
        assert tensor.min == min(ranges[place].min for ranges in each)
        assert tensor.max == max(ranges[place].max for ranges in each)
        assert tensor.name == each[0][place].name


def test_the_output_s_range_is_that_of_the_probabilities(tiny_tflite: dict[str, bytes], tmp_path: Path) -> None:
    from vitconv.runtimes.litert import Runner

    path = tmp_path / "tiny.tflite"
    path.write_bytes(tiny_tflite["float32"])
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    with Runner(path, xnnpack=False) as runner:
        probabilities = runner.probabilities(images)
    last = measure_ranges(Graph.read(path), images)[-1]
    np.testing.assert_allclose(
        (last.seen_min, last.seen_max), (probabilities.min(), probabilities.max()), rtol=1e-6
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_activations_that_are_not_numbers_are_refused(tiny_tflite: dict[str, bytes], value: float) -> None:
    from vitconv.tflite import flatbuffer

    model = flatbuffer.parse(tiny_tflite["float32"], "tiny")
    kernels = [buffer for buffer in model.buffers if buffer.data is not None and len(buffer.data) > 1000]
    data = np.frombuffer(bytes(kernels[0].data), np.float32).copy()
    data[5] = value
    kernels[0].data = flatbuffer.data_vector(data.tobytes())
    images = np.random.default_rng(0).integers(1, 256, (2, 16, 16, 3), dtype=np.uint8)
    with pytest.raises(InputError, match=r"has values from .*(nan|inf).* on a calibration image"):
        measure_ranges(Graph(model, "tiny"), images)


def test_ranges_written_into_a_graph_change_nothing_that_it_computes(
    tiny_tflite: dict[str, bytes], tmp_path: Path
) -> None:
    from vitconv.runtimes.litert import Runner

    graph = Graph.parse(tiny_tflite["float32"], "tiny")
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    answers = []
    for number, other in enumerate((graph, with_ranges(graph, measure_ranges(graph, images)))):
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(other.data)
        with Runner(path) as runner:
            answers.append(runner.probabilities(images))
    np.testing.assert_array_equal(answers[0], answers[1])


# --- the file ---


def hand_made() -> Calibration:
    third = float(np.float32(1) / np.float32(3))
    return Calibration(
        checkpoint=hashlib.sha256(b"weights").hexdigest(),
        dataset="flowers 1.0.0",
        split="train[:90%]",
        split_digest=hashlib.sha256(b"split").hexdigest(),
        image=ImageSpec(32, 64, resize="center_crop"),
        method="minmax",
        seed=7,
        images=(5, 3, 8),
        graphs=(
            GraphRanges(
                "int8",
                hashlib.sha256(b"graph").hexdigest(),
                (
                    TensorRange("image", 0.0, 255.0, 0.0, 255.0),
                    TensorRange('a "name";ü', -third, 1e-30, -1.0, 1.0),
                    TensorRange("b", 0.1, 3.4e38, 0.1, 3.4e38),
                ),
            ),
            GraphRanges(
                "int8-hybrid",
                hashlib.sha256(b"hybrid graph").hexdigest(),
                (TensorRange("image", 0.0, 255.0, 0.0, 255.0),),
                Kept(("a", "b"), ("block",), (UnitCost("block", False, 2, third, -0.25, True),)),
                (BiasCorrection("c", (third, -1e-30)),),
            ),
        ),
    )


def without_ranges(**of_the_tensor: Any) -> list[dict[str, Any]]:
    """The document's graphs with one tensor, and that one as given."""
    return [{"scheme": "int8", "sha256": "0" * 64, "kept": None, "ranges": [{"name": "image", **of_the_tensor}]}]


def test_the_file_gives_back_what_was_written_bit_for_bit(tmp_path: Path) -> None:
    value, path = hand_made(), tmp_path / "ranges.json"
    value.save(path)
    assert calibration.read(path) == value
    assert json.loads(path.read_text(encoding="utf-8")) == value.to_json()


def test_a_file_of_an_earlier_version_has_no_corrected_biases(tmp_path: Path) -> None:
    value, path = hand_made(), tmp_path / "ranges.json"
    document = value.to_json()
    for graph in document["graphs"]:
        del graph["biases"]
    path.write_text(json.dumps(document), encoding="utf-8")
    assert calibration.read(path) == replace(
        value, graphs=tuple(replace(graph, biases=()) for graph in value.graphs)
    )


def test_the_file_has_a_line_for_each_tensor(calibrated: tuple[Calibration, Path]) -> None:
    result, path = calibrated
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith('        {"name"')]
    assert all(graph.biases for graph in result.graphs)
    assert len(rows) == sum(len(graph.ranges) + len(graph.biases) for graph in result.graphs)
    assert len(lines) < len(rows) + 34  # two lines a graph for the biases
    assert calibration.read(path) == result


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("format", 1, "its format is 1, and this version reads format 4"),
        ("method", "best", "unknown calibration method 'best'"),
        (
            "graphs",
            without_ranges(min=1.0, max=0.0, seen_min=0.0, seen_max=1.0),
            "`graphs[0]`: the range of 'image' runs from 1.0 to 0.0",
        ),
        (
            "graphs",
            without_ranges(min=0.0, max=float("nan"), seen_min=0, seen_max=1),
            "`graphs[0].ranges[0].max` is nan",
        ),
        ("graphs", without_ranges(min=0.0, seen_min=0.0, seen_max=1.0), "`graphs[0].ranges[0].max` is missing"),
        ("graphs", 5, "`graphs` must be a list, not 5"),
        ("image", {"height": 32}, "`image.width` is missing"),
        ("unknown", 1, "the key 'unknown'"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused_with_the_reason(
    name: str, value: Any, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "ranges.json"
    path.write_text(json.dumps({**hand_made().to_json(), name: value}))
    with pytest.raises(InputError, match=r"cannot use the calibration file .*ranges\.json: .* anew") as caught:
        calibration.read(path)
    assert reason in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", "not json", '"text"', "null"])
def test_a_file_of_something_else_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"ranges\.json"):
        calibration.read(path)


def test_a_file_that_is_not_there_is_refused_with_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no calibration file .*`vitconv calibrate` makes one"):
        calibration.read(tmp_path / "none.json")


def test_the_ranges_fit_one_checkpoint_and_one_graph(
    calibrated: tuple[Calibration, Path], digits_checkpoint: Path, tmp_path: Path
) -> None:
    result, _ = calibrated
    checkpoint = open_checkpoint(digits_checkpoint)
    result.check_checkpoint(checkpoint)
    with pytest.raises(InputError, match="made for other weights"):
        hand_made().check_checkpoint(checkpoint)
    graph, hybrid = float_graph("eanet", "int8"), float_graph("eanet", "int8-hybrid")
    digests = (structure_digest(graph), structure_digest(hybrid))
    graphs = (replace(one, sha256=digest) for one, digest in zip(hand_made().graphs, digests, strict=True))
    known = replace(hand_made(), graphs=tuple(graphs))
    assert known.of_graph("int8", graph) == known.graphs[0]
    assert known.fits({"int8": graph, "int8-hybrid": hybrid})
    foreign = float_graph("eanet_self_attention", "int8")
    for scheme, other in (("int8", foreign), ("int8-hybrid", foreign), ("dynamic", graph)):
        assert not known.fits({"int8": graph, scheme: other})
        with pytest.raises(InputError, match="does not fit the graph of"):
            known.of_graph(scheme, other)
    moved = open_checkpoint(Path(shutil.copytree(digits_checkpoint, tmp_path / "elsewhere")))
    result.check_checkpoint(moved)
